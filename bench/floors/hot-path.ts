/** One thing that is done to every byte, or to every file, of a large cluster. */
export interface HotPath {
  readonly name: string
  /** What `run` gets through, as a part of `per`. */
  readonly amount: number
  readonly per: 'GB' | 'million files'
  readonly run: () => unknown
}

const gigabyte = 1e9
const rounds = 12
const leastMs = 150

export const gigabytes = (bytes: number): number => bytes / gigabyte

/** CPU seconds of the whole process for one unit of `per`. The best of several rounds: the others tell how busy the machine was. */
export async function measureHotPath({ amount, run }: HotPath): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now()
    const before = process.cpuUsage()
    let runs = 0
    while (runs === 0 || performance.now() - start < leastMs) {
      await run()
      runs += 1
    }
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / 1e6 / (runs * amount))
  }
  return best
}

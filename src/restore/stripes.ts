interface Stripe {
  next: number
  end: number
}

/**
 * The numbers below `count` in equal stripes, one for each worker, which takes the numbers of its own in their order.
 *
 * Neighbouring packs hold parts of one large file, and Linux lets only one thread at a time write to a file: two workers
 * that took whatever came next spent an eighth of their CPU time waiting for each other (perf, November 2026). Whoever has
 * done its own therefore helps at the far end of the stripe of which most is left.
 */
export class Stripes {
  readonly #stripes: readonly Stripe[]

  constructor(count: number, workers: number) {
    const length = Math.ceil(count / workers)
    this.#stripes = Array.from({ length: workers }, (_, at) => ({
      next: Math.min(count, at * length),
      end: Math.min(count, (at + 1) * length),
    }))
  }

  /** The next number for this worker; undefined when all were given out. */
  next(worker: number): number | undefined {
    const own = this.#stripes[worker]
    if (own !== undefined && own.next < own.end) {
      own.next += 1
      return own.next - 1
    }
    const [longest] = this.#stripes.toSorted((one, other) => leftIn(other) - leftIn(one))
    if (longest === undefined || leftIn(longest) === 0) return undefined
    longest.end -= 1
    return longest.end
  }
}

const leftIn = ({ next, end }: Stripe): number => end - next

/** While one waits for the disk, the others are decrypted. More would take the replay's own core from it. */
const fewest = 3
const most = 10
/** Shorter waits say nothing about a store. */
const leastWaitMs = 20
/** Of a core: below it, a fetch waits for the store, and not for us. */
const busyShare = 0.5

/**
 * How many segments are fetched at once. A store that is far away takes as long for one as for many, so there is one more
 * whenever nothing was fetched that PostgreSQL could take, and what we waited for was not our own work.
 */
export class PrefetchLanes {
  #count = fewest

  get count(): number {
    return this.#count
  }

  /** Nothing was there to be taken for `waitedMs`, in which we have used `cpuMs`. */
  noteWait({ waitedMs, cpuMs }: { readonly waitedMs: number; readonly cpuMs: number }): void {
    if (waitedMs >= leastWaitMs && cpuMs < waitedMs * busyShare) this.#count = Math.min(most, this.#count + 1)
  }
}

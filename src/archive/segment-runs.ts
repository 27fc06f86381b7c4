interface Run {
  readonly first: bigint
  last: bigint
}

/** A growing set of segment numbers, added in ascending order, that takes memory per run of neighbours only. */
export class SegmentRuns {
  readonly #runs: Run[] = []

  /** Numbers at or below the greatest one so far are in the set already. */
  add(number: bigint): void {
    const run = this.#runs.at(-1)
    if (run !== undefined && number <= run.last) return
    if (run?.last === number - 1n) run.last = number
    else this.#runs.push({ first: number, last: number })
  }

  has(number: bigint): boolean {
    let low = 0
    let high = this.#runs.length
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const run = this.#runs[middle]
      if (run !== undefined && run.last < number) low = middle + 1
      else high = middle
    }
    const run = this.#runs[low]
    return run !== undefined && run.first <= number
  }

  *numbers(): Generator<bigint, void> {
    for (const { first, last } of this.#runs) {
      for (let number = first; number <= last; number += 1n) yield number
    }
  }
}

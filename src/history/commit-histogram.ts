import { instantFromPostgres, toInstant, type Instant } from '../domain/target-time.ts'
import type { TransactionEnds } from '../wal/transaction-ends.ts'

/** How many transactions were committed in a stretch of time. */
export interface CommitBucket {
  readonly from: Instant
  readonly to: Instant
  readonly commits: number
}

const second = 1_000_000n
/** Seconds are counted until there are more than these; then longer stretches. */
const mostCounts = 4096

/** Counts commits over time, in memory that does not grow with their number or with the time. */
export class CommitHistogram {
  #counts = new Map<bigint, number>()
  #width = second
  /** The stretch of the last commit, whose neighbours mostly belong there too: it is not in the counts yet. */
  #current = { from: 0n, to: 0n, commits: 0 }
  #first: Instant | undefined
  #last: Instant | undefined

  /** The earliest and the latest commit; undefined when there is none. */
  get range(): { readonly first: Instant; readonly last: Instant } | undefined {
    const [first, last] = [this.#first, this.#last]
    return first === undefined || last === undefined ? undefined : { first, last }
  }

  add(transactions: TransactionEnds): void {
    for (let index = 0; index < transactions.count; index += 1) {
      if (!transactions.isAbortAt(index)) this.#count(instantFromPostgres(transactions.timeAt(index)))
    }
  }

  /** At most `most` stretches of the same length, from the first commit to the last; those without commits too. */
  buckets(most: number): readonly CommitBucket[] {
    if (this.#first === undefined || this.#last === undefined) return []
    this.#keepCurrent()
    const start = this.#first - (this.#first % this.#width)
    let width = this.#width
    while ((this.#last - start) / width >= BigInt(most)) width *= 2n
    const counts = Array.from({ length: Number((this.#last - start) / width) + 1 }, () => 0)
    for (const [at, count] of this.#counts) {
      const index = Number((at * this.#width - start) / width)
      counts[index] = (counts[index] ?? 0) + count
    }
    return counts.map((commits, index) => {
      const from = start + BigInt(index) * width
      return { from: toInstant(from), to: toInstant(from + width), commits }
    })
  }

  #count(time: Instant): void {
    if (this.#first === undefined || time < this.#first) this.#first = time
    if (this.#last === undefined || time > this.#last) this.#last = time
    const { from, to } = this.#current
    if (time < from || time >= to) this.#begin(time)
    this.#current.commits += 1
  }

  /** The stretch with this time becomes the current one. */
  #begin(time: Instant): void {
    this.#keepCurrent()
    if (this.#counts.size > mostCounts) this.#widen()
    const from = time - (time % this.#width)
    this.#current = { from, to: from + this.#width, commits: 0 }
  }

  #keepCurrent(): void {
    const at = this.#current.from / this.#width
    if (this.#current.commits > 0) this.#counts.set(at, (this.#counts.get(at) ?? 0) + this.#current.commits)
    this.#current = { from: 0n, to: 0n, commits: 0 }
  }

  #widen(): void {
    const counts = new Map<bigint, number>()
    for (const [at, count] of this.#counts) counts.set(at / 2n, (counts.get(at / 2n) ?? 0) + count)
    this.#counts = counts
    this.#width *= 2n
  }
}

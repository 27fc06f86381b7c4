import { toLsn } from '../domain/lsn.ts'
import { Uint32Column, Uint64Column } from './columns.ts'
import type { TransactionEnd } from './transaction-records.ts'

/** A transaction's end, and its subtransactions that ended with it the same way. */
export type TransactionFact = TransactionEnd & { readonly subxids: Uint32Array }

/** A transaction's end as it is added: 64-bit numbers in halves, so that no bigint is made. */
export interface AddedEnd {
  readonly isAbort: boolean
  readonly isPrepared: boolean
  readonly xid: number
  readonly timeHigh: number
  readonly timeLow: number
  readonly place: {
    readonly lsnHigh: number
    readonly lsnLow: number
    readonly endHigh: number
    readonly endLow: number
  }
}

/** What one word says about the end. */
const bits = { abort: 1, prepared: 2 } as const

/** The commits and aborts of some WAL, in its order. */
export class TransactionEnds {
  readonly #kinds = new Uint32Column()
  readonly #xids = new Uint32Column()
  readonly #times = new Uint64Column()
  readonly #lsns = new Uint64Column()
  readonly #endLsns = new Uint64Column()
  /** Of transaction n, where its subtransactions begin in the list of all. */
  readonly #subxidStarts = new Uint32Column()
  readonly #subxids = new Uint32Column()

  get count(): number {
    return this.#xids.count
  }

  add({ isAbort, isPrepared, xid, timeHigh, timeLow, place }: AddedEnd): void {
    this.#kinds.push((isAbort ? bits.abort : 0) | (isPrepared ? bits.prepared : 0))
    this.#xids.push(xid)
    this.#times.push(timeHigh, timeLow)
    this.#lsns.push(place.lsnHigh, place.lsnLow)
    this.#endLsns.push(place.endHigh, place.endLow)
    this.#subxidStarts.push(this.#subxids.count)
  }

  /** Of the transaction that was added last. */
  addSubxid(xid: number): void {
    this.#subxids.push(xid)
  }

  at(index: number): TransactionFact {
    const kind = this.#kinds.at(index)
    const next = index + 1 < this.count ? this.#subxidStarts.at(index + 1) : this.#subxids.count
    return {
      kind: (kind & bits.abort) === 0 ? 'commit' : 'abort',
      isPrepared: (kind & bits.prepared) !== 0,
      xid: this.#xids.at(index),
      time: BigInt.asIntN(64, this.#times.at(index)),
      lsn: toLsn(this.#lsns.at(index)),
      endLsn: toLsn(this.#endLsns.at(index)),
      subxids: this.#subxids.values.slice(this.#subxidStarts.at(index), next),
    }
  }

  *[Symbol.iterator](): Generator<TransactionFact, void, undefined> {
    for (let index = 0; index < this.count; index += 1) yield this.at(index)
  }
}

import { toLsn, type Lsn } from '../domain/lsn.ts'
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

  xidAt(index: number): number {
    return this.#xids.at(index)
  }

  isAbortAt(index: number): boolean {
    return (this.#kinds.at(index) & bits.abort) !== 0
  }

  lsnAt(index: number): Lsn {
    return toLsn(this.#lsns.at(index))
  }

  /** Microseconds since 2000-01-01 UTC. */
  timeAt(index: number): bigint {
    return BigInt.asIntN(64, this.#times.at(index))
  }

  /** A view, valid until the next one is added. */
  subxidsAt(index: number): Uint32Array {
    const next = index + 1 < this.count ? this.#subxidStarts.at(index + 1) : this.#subxids.count
    return this.#subxids.values.subarray(this.#subxidStarts.at(index), next)
  }

  at(index: number): TransactionFact {
    return {
      kind: this.isAbortAt(index) ? 'abort' : 'commit',
      isPrepared: (this.#kinds.at(index) & bits.prepared) !== 0,
      xid: this.xidAt(index),
      time: this.timeAt(index),
      lsn: this.lsnAt(index),
      endLsn: toLsn(this.#endLsns.at(index)),
      subxids: this.subxidsAt(index).slice(),
    }
  }

  *[Symbol.iterator](): Generator<TransactionFact, void, undefined> {
    for (let index = 0; index < this.count; index += 1) yield this.at(index)
  }
}

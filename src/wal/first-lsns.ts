import { toLsn, type Lsn } from '../domain/lsn.ts'
import { Uint32Column, Uint64Column } from './columns.ts'
import { PairTable } from './pair-table.ts'

/** A transaction or subtransaction that wrote something. */
export interface FirstLsn {
  readonly xid: number
  /** Of its first record. Undefined when only its parent is known. */
  readonly lsn: Lsn | undefined
  /** Its top-level transaction. 0 when no record says so: not until the transaction's end, and for the top level itself. */
  readonly parent: number
}

/** Where each transaction and subtransaction first wrote, and to whom it belongs. */
export class FirstLsns {
  readonly #table = new PairTable()
  readonly #parents = new Uint32Column()
  readonly #lsns = new Uint64Column()
  #lastXid = 0

  get count(): number {
    return this.#table.count
  }

  /** Keeps the first LSN, which is given in halves. */
  see(xid: number, high: number, low: number): void {
    if (xid === this.#lastXid) return
    this.#lastXid = xid
    const index = this.#indexOf(xid)
    if (this.#lsns.isZero(index)) this.#lsns.set(index, high, low)
  }

  setParent(xid: number, parent: number): void {
    this.#parents.set(this.#indexOf(xid), parent)
  }

  find(xid: number): FirstLsn | undefined {
    const index = this.#table.find(0, xid)
    return index < 0 ? undefined : this.at(index)
  }

  xidAt(index: number): number {
    return this.#table.secondAt(index)
  }

  at(index: number): FirstLsn {
    return {
      xid: this.xidAt(index),
      lsn: this.#lsns.isZero(index) ? undefined : toLsn(this.#lsns.at(index)),
      parent: this.#parents.at(index),
    }
  }

  *[Symbol.iterator](): Generator<FirstLsn, void, undefined> {
    for (let index = 0; index < this.count; index += 1) yield this.at(index)
  }

  #indexOf(xid: number): number {
    const before = this.count
    const index = this.#table.indexOf(0, xid)
    if (index === before) {
      this.#parents.push(0)
      this.#lsns.push(0, 0)
    }
    return index
  }
}

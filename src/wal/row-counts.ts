import { Uint32Column } from './columns.ts'
import { PairTable } from './pair-table.ts'

/** The files of a relation: RelFileLocator in storage/relfilelocator.h. */
export interface RelationId {
  readonly tablespace: number
  readonly database: number
  readonly relation: number
}

/** One text for each, to look it up by. */
export const relationKey = ({ tablespace, database, relation }: RelationId): string =>
  `${tablespace}/${database}/${relation}`

/** How many rows one transaction, or subtransaction, changed in one relation. */
export interface RowCount extends RelationId {
  readonly xid: number
  readonly inserted: number
  readonly updated: number
  readonly deleted: number
}

/** Rows that were inserted, updated and deleted, by relation and transaction. Rolled back ones count too. */
export class RowCounts {
  /** Index of the relation, xid. */
  readonly #table = new PairTable()
  readonly #relations: RelationId[] = []
  /** By relation: few relations share their number with one of another database or tablespace. */
  readonly #relationIndexes = new Map<number, number>()
  /** Of each relation, the index of the one before it that has the same number; -1 when there is none. */
  readonly #sameNumber: number[] = []
  readonly #inserted = new Uint32Column()
  readonly #updated = new Uint32Column()
  readonly #deleted = new Uint32Column()

  get count(): number {
    return this.#table.count
  }

  /** The number of the relation here, for `indexOf`. */
  relationIndexOf(id: RelationId): number {
    const known = this.#find(id)
    if (known >= 0) return known
    const { tablespace, database, relation } = id
    const index = this.#relations.push({ tablespace, database, relation }) - 1
    this.#sameNumber.push(this.#relationIndexes.get(relation) ?? -1)
    this.#relationIndexes.set(relation, index)
    return index
  }

  /** Whether any of its rows were changed. */
  hasRelation(id: RelationId): boolean {
    return this.#find(id) >= 0
  }

  /** The index of the row for this relation and transaction. */
  indexOf(relationIndex: number, xid: number): number {
    const before = this.count
    const index = this.#table.indexOf(relationIndex, xid)
    if (index === before) {
      this.#inserted.push(0)
      this.#updated.push(0)
      this.#deleted.push(0)
    }
    return index
  }

  addInserted(index: number, rows: number): void {
    this.#inserted.set(index, this.#inserted.at(index) + rows)
  }

  addUpdated(index: number): void {
    this.#updated.set(index, this.#updated.at(index) + 1)
  }

  addDeleted(index: number): void {
    this.#deleted.set(index, this.#deleted.at(index) + 1)
  }

  xidAt(index: number): number {
    return this.#table.secondAt(index)
  }

  updatedAt(index: number): number {
    return this.#updated.at(index)
  }

  deletedAt(index: number): number {
    return this.#deleted.at(index)
  }

  at(index: number): RowCount {
    const relation = this.#relations[this.#table.firstAt(index)] ?? {
      tablespace: 0,
      database: 0,
      relation: 0,
    }
    return {
      ...relation,
      xid: this.xidAt(index),
      inserted: this.#inserted.at(index),
      updated: this.#updated.at(index),
      deleted: this.#deleted.at(index),
    }
  }

  #find({ tablespace, database, relation }: RelationId): number {
    const first = this.#relationIndexes.get(relation) ?? -1
    for (let index = first; index >= 0; index = this.#sameNumber[index] ?? -1) {
      const known = this.#relations[index]
      if (known?.database === database && known.tablespace === tablespace) return index
    }
    return -1
  }

  *[Symbol.iterator](): Generator<RowCount, void, undefined> {
    for (let index = 0; index < this.count; index += 1) yield this.at(index)
  }
}

import { toLsn, type Lsn } from '../domain/lsn.ts'
import { Uint32Column, Uint64Column } from './columns.ts'

const kinds = [
  /** A fork's file was made: XLOG_SMGR_CREATE. */
  'created',
  /** The main fork was cut down to `block` blocks: XLOG_SMGR_TRUNCATE. */
  'truncated',
  /** All the relation's files went with a commit. */
  'dropped',
  /** All the relation's files went with the rollback of the transaction that had made them. */
  'discarded',
  /** TRUNCATE, told with `wal_level=logical` only. `relation` is the table's OID, not its file. */
  'table-truncated',
  /** A database was made from a template, file by file. */
  'database-copied',
  /** A database was made, and its blocks are in the WAL (15 and later). */
  'database-logged',
  'database-dropped',
] as const

export type RelationEventKind = (typeof kinds)[number]

export interface RelationEvent {
  readonly kind: RelationEventKind
  readonly tablespace: number
  readonly database: number
  /** 0 for a whole database. */
  readonly relation: number
  /** For `created`: common/relpath.h. */
  readonly fork: number
  /** For `truncated`: how many blocks stayed. */
  readonly block: number
  /** 0 for none. Of `dropped` and `discarded` that of the transaction that ended. */
  readonly xid: number
  readonly lsn: Lsn
}

/** What befell whole files, in the order of the WAL. */
export class RelationEvents {
  readonly #numbers = new Uint32Column()
  readonly #lsns = new Uint64Column()

  get count(): number {
    return this.#lsns.count
  }

  add(event: RelationEvent): void {
    const { kind, tablespace, database, relation, fork, block, xid, lsn } = event
    const numbers = [kinds.indexOf(kind), tablespace, database, relation, fork, block, xid]
    for (const number of numbers) this.#numbers.push(number)
    this.#lsns.pushWhole(lsn)
  }

  at(index: number): RelationEvent {
    const number = (offset: number): number => this.#numbers.at(7 * index + offset)
    return {
      kind: kinds[number(0)] ?? 'created',
      tablespace: number(1),
      database: number(2),
      relation: number(3),
      fork: number(4),
      block: number(5),
      xid: number(6),
      lsn: toLsn(this.#lsns.at(index)),
    }
  }

  *[Symbol.iterator](): Generator<RelationEvent, void, undefined> {
    for (let index = 0; index < this.count; index += 1) yield this.at(index)
  }
}

import type { Lsn } from '../domain/lsn.ts'
import type { Instant } from '../domain/target-time.ts'
import type { RelationEvent } from '../wal/relation-events.ts'
import type { RelationId } from '../wal/row-counts.ts'

/** A relation's files, and how many of its rows a transaction changed. */
export interface ChangedRows extends RelationId {
  readonly inserted: number
  readonly updated: number
  readonly deleted: number
}

/** A file that a transaction made, as the main fork of a relation. */
export interface MadeFile extends RelationId {
  /** Whether pages were written into it while the transaction ran, or soon afterwards. */
  hasPages: boolean
  /** Whether rows were: then it is a table's, and not an index's. */
  hasRows: boolean
}

/** A transaction that has ended: where it began and ended. */
export interface EndedTransaction {
  readonly xid: number
  readonly isAborted: boolean
  /** Whether it ended by COMMIT PREPARED or ROLLBACK PREPARED. */
  readonly isPrepared: boolean
  /** Of its end. */
  readonly time: Instant
  /**
   * Of its first record, or of what it did before it had a number (`findDatabaseMark`). A recovery that stops there,
   * exclusive, has nothing of the transaction, not even its locks. Undefined when it began before the WAL that was read.
   */
  readonly firstLsn: Lsn | undefined
  /** Of the record that ends it. */
  readonly endRecordLsn: Lsn
  /**
   * Other transactions that were committed between its first record and its end: a recovery to before it loses them.
   * Undefined with `firstLsn`.
   */
  readonly commitsMeanwhile: number | undefined
}

/** A transaction that has ended, with all that it and its subtransactions did. */
export interface PastTransaction {
  readonly ended: EndedTransaction
  readonly rows: readonly ChangedRows[]
  /** What befell whole files, in the order of the WAL. */
  readonly events: readonly RelationEvent[]
  readonly madeFiles: readonly Readonly<MadeFile>[]
}

/** When what it did away with was certainly still there, for what it was called. */
export const momentOf = ({ ended: { firstLsn, endRecordLsn } }: PastTransaction): Lsn =>
  firstLsn ?? endRecordLsn

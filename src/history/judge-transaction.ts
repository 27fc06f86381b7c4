import { firstNormalOid } from '../postgres/object-ids.ts'
import { catalogs } from '../wal/catalogs.ts'
import { relationKey, type RelationId } from '../wal/row-counts.ts'
import type { ChangedRows, PastTransaction } from './past-transaction.ts'

/** What was done to a relation, or with relation 0 to a database. */
export type Effect =
  | 'dropped'
  | 'truncated'
  | 'rewritten'
  | 'deleted'
  | 'updated'
  | 'database-dropped'
  | 'database-moved'

export interface AffectedFiles extends RelationId {
  readonly effect: Effect
  /** How many rows were deleted or updated; undefined where the WAL does not count them. */
  readonly rows: number | undefined
}

/**
 * What a transaction did that somebody may want to undo: relations that it dropped, emptied or rewrote, and rows that it
 * deleted or updated, if they are at least `minRows`. There is no record that says DROP: files go with the commit, also
 * when a relation is truncated or rewritten, and only what happened to rows of pg_class tells these apart.
 */
export function judgeTransaction(transaction: PastTransaction, minRows: number): readonly AffectedFiles[] {
  return [...affectedDatabases(transaction), ...lostFiles(transaction), ...changedRows(transaction, minRows)]
}

function affectedDatabases({ events, rows }: PastTransaction): readonly AffectedFiles[] {
  const dropped = events.filter(({ kind }) => kind === 'database-dropped')
  const isRowGone = rows.some(({ relation, deleted }) => relation === catalogs.database && deleted > 0)
  // A database that moves to another tablespace leaves its old one, and keeps its row.
  const effect = isRowGone ? 'database-dropped' : 'database-moved'
  const databases = new Map(dropped.map((event) => [event.database, event]))
  return [...databases.values()].map(({ tablespace, database }) => ({
    tablespace,
    database,
    relation: 0,
    effect,
    rows: undefined,
  }))
}

function lostFiles(transaction: PastTransaction): readonly AffectedFiles[] {
  const { events, ended } = transaction
  const gone = events.filter(({ kind }) => kind === 'dropped')
  // What an aborted transaction had dropped stays.
  if (gone.length === 0 || ended.isAborted) return []
  const own = new Set(events.filter(({ kind }) => kind === 'created').map(relationKey))
  const effect = effectOnFiles(transaction)
  return gone
    .filter((event) => !own.has(relationKey(event)))
    .map(({ tablespace, database, relation }) => ({
      tablespace,
      database,
      relation,
      effect,
      rows: undefined,
    }))
}

/**
 * A row of pg_class goes when its relation is dropped. TRUNCATE and REINDEX give a relation new files: they only update
 * it. CLUSTER, VACUUM FULL, REFRESH MATERIALIZED VIEW and ALTER TABLE fill a new relation, exchange the files of the two,
 * which takes many updates, and drop it: as many rows come as go. When in doubt it is a drop, which nobody must miss.
 */
function effectOnFiles({ rows, events, madeFiles }: PastTransaction): Effect {
  const { inserted, updated, deleted } = rows
    .filter(({ relation }) => relation === catalogs.class)
    .reduce(sum, { inserted: 0, updated: 0, deleted: 0 })
  if (deleted === 0) return isMove(events) || areIndexes(madeFiles) ? 'rewritten' : 'truncated'
  const isExchange = inserted === deleted && updated >= fewestExchangeUpdates && updated > 2 * (inserted - 1)
  return isExchange ? 'rewritten' : 'dropped'
}

/** swap_relation_files in commands/cluster.c updates two rows, and then the relation's frozen xid is set. */
const fewestExchangeUpdates = 3

type Counts = Pick<ChangedRows, 'inserted' | 'updated' | 'deleted'>

const sum = (one: Counts, other: Counts): Counts => ({
  inserted: one.inserted + other.inserted,
  updated: one.updated + other.updated,
  deleted: one.deleted + other.deleted,
})

/** An index has a page from the beginning, and a sequence; a table that was emptied has none, until it gets rows. */
const areIndexes = (files: PastTransaction['madeFiles']): boolean =>
  files.length > 0 && files.every(({ hasPages, hasRows }) => hasPages && !hasRows)

/** ALTER TABLE SET TABLESPACE: the new files are in another one. */
function isMove(events: PastTransaction['events']): boolean {
  const placesOf = (wanted: string): ReadonlySet<number> =>
    new Set(events.filter(({ kind }) => kind === wanted).map(({ tablespace }) => tablespace))
  const left = placesOf('dropped')
  return ![...placesOf('created')].some((tablespace) => left.has(tablespace))
}

function changedRows({ rows }: PastTransaction, minRows: number): readonly AffectedFiles[] {
  return rows
    .filter(({ relation }) => relation >= firstNormalOid)
    .flatMap(({ tablespace, database, relation, deleted, updated }) => [
      { tablespace, database, relation, effect: 'deleted' as const, rows: deleted },
      { tablespace, database, relation, effect: 'updated' as const, rows: updated },
    ])
    .filter((affected) => affected.rows >= minRows)
}

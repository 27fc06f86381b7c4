import type { ArchivePlace } from '../archive/archive-place.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { PostgresSession } from '../postgres/connection.ts'
import { parseRelationPath, type RelationFile } from '../postgres/page-layout.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { parseNameListKey } from '../repository/name-list-key.ts'
import { openNameList, type NameListEntry } from '../repository/name-list.ts'
import { nameListPrefix } from '../repository/object-keys.ts'
import type { FileTable } from '../restore/layout.ts'

/** What a backup says of the tables that are in it. */
export interface BackedUpTables {
  /** Every time anew; undefined when the backup has no list that can be read. */
  readonly names: (() => Iterable<NameListEntry>) | undefined
  readonly files: FileTable
}

/** Finds the list of names that was stored with a backup. One that cannot be read is warned of: a drill goes on without. */
export async function findBackedUpTables(
  { backup, files }: { readonly backup: BackupEntry; readonly files: FileTable },
  place: ArchivePlace,
  context: RunContext,
): Promise<BackedUpTables> {
  try {
    return { names: await findNames(backup, place, context), files }
  } catch (error) {
    if (!isAboutObject(error)) throw error
    context.report({ kind: 'warning', message: `the list of names cannot be used: ${error.message}` })
    return { names: undefined, files }
  }
}

async function findNames(
  { timeline, startLsn, stopLsn }: BackupEntry,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<BackedUpTables['names']> {
  for await (const { key } of repository.store.list(nameListPrefix(cluster.id), context)) {
    const moment = parseNameListKey(cluster.id, key)
    if (moment?.timeline !== timeline || moment.lsn < startLsn || moment.lsn > stopLsn) continue
    const sealed = await repository.store.get(key, undefined, context)
    if (sealed === undefined) continue // a sweep took it meanwhile
    const names = (): Iterable<NameListEntry> => openNameList(sealed, repository, key)
    // Read once to its end, so that damage shows here.
    for (const _ of names()) context.signal.throwIfAborted()
    return names
  }
  return undefined
}

const rowsAtATime = 5000

/**
 * Brings into the database of a session what the backup says of it, as temporary tables that can be joined:
 * `pg_temp.holdfast_listed` (tables, and about how many rows each had) and `pg_temp.holdfast_stored` (files and their size).
 * Memory does not grow with the number of tables.
 */
export async function loadBackedUpTables(
  session: PostgresSession,
  database: number,
  { names, files }: BackedUpTables,
): Promise<void> {
  await session.query(
    'create temporary table holdfast_listed (oid oid, tablespace oid, file oid, name text, rows int8)',
  )
  await session.query('create temporary table holdfast_stored (tablespace oid, file oid, bytes int8)')
  await insertAll(session, 'holdfast_listed', listedIn(database, names?.() ?? []))
  await insertAll(session, 'holdfast_stored', storedIn(database, files))
}

/** Records whose fields are the columns. */
async function insertAll(session: PostgresSession, table: string, rows: Iterable<object>): Promise<void> {
  const insert = `insert into pg_temp.${table}
    select (pg_catalog.jsonb_populate_record(null::pg_temp.${table}, r)).* from pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) r`
  let batch: object[] = []
  const flush = async (): Promise<void> => {
    if (batch.length > 0) await session.query(insert, [JSON.stringify(batch)])
    batch = []
  }
  for (const row of rows) {
    batch.push(row)
    if (batch.length === rowsAtATime) await flush()
  }
  await flush()
  await session.query(`analyze pg_temp.${table}`)
}

function* listedIn(database: number, entries: Iterable<NameListEntry>): Generator<object, void, undefined> {
  for (const entry of entries) {
    if (entry.kind !== 'relation' || entry.relation.database !== database) continue
    const { oid, tablespace, relation: file, kind, schema, name, rows } = entry.relation
    if ('rm'.includes(kind)) yield { oid, tablespace, file, name: `${schema}.${name}`, rows: rows ?? null }
  }
}

/** Whole blocks only: one that was being written at the end of a file may be there by half. */
function* storedIn(database: number, files: FileTable): Generator<object, void, undefined> {
  for (let index = 0; index < files.count; index += 1) {
    const file = relationFileOf(files, index)
    if (file?.databaseOid !== database || file.fork !== 'main') continue
    const bytes = Math.floor(files.sizeBytes(index) / 8192) * 8192
    yield { tablespace: file.tablespaceOid, file: file.relationNumber, bytes }
  }
}

function relationFileOf(files: FileTable, index: number): RelationFile | undefined {
  const root = files.root(index)
  const path = files.path(index)
  return parseRelationPath(root === 0 ? path : `pg_tblspc/${root}/${path}`)
}

import type { ArchivePlace } from '../archive/archive-place.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { firstNormalOid } from '../postgres/object-ids.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import {
  readNameList,
  type NamedPartition,
  type NamedRelation,
  type NameListEntry,
} from '../repository/name-list.ts'
import { parseNameListKey, type NameListMoment } from '../repository/name-list-key.ts'
import { nameListPrefix } from '../repository/object-keys.ts'
import type { LeaveOut } from '../restore/leave-out.ts'
import { relationKey } from '../wal/row-counts.ts'

/** Tables of one database that rows are wanted of. */
export interface NeededTables {
  readonly database: string
  /** NAME or SCHEMA.NAME. */
  readonly tables: readonly string[]
}

type Backup = Pick<ManifestHead['backup'], 'label' | 'timeline' | 'startLsn' | 'stopLsn'>

/** Smaller files are always restored: they cost nothing, and sequences are among them. */
const smallFileBytes = 64 * 1024

/**
 * Decides by the list of names that a backup has stored which files nobody needs who reads these tables: those of other
 * tables, and all indexes but those of TOAST tables. What the list does not know is needed. A guess at what the tables were
 * then: whoever uses it proves in the end that they needed nothing else. Throws `not-found` when the list has not every
 * table, `damaged`, `format-newer`.
 */
export async function chooseLeftOut(
  needed: NeededTables,
  { backup, place }: { readonly backup: Backup; readonly place: ArchivePlace },
  context: RunContext,
): Promise<LeaveOut> {
  const moment = await findMoment(backup, place, context)
  const entries = (): Promise<Iterable<NameListEntry>> => readEntries(moment, { backup, place }, context)
  const owners = findOwners(await entries(), needed)
  const { others, wanted } = divide(await entries(), owners)
  return ({ tablespaceOid, databaseOid, relationNumber, fork }, sizeBytes) =>
    sizeBytes > smallFileBytes &&
    fork !== 'init' &&
    // By its number alone: a database that is copied from another one has the same numbers.
    !wanted.has(relationNumber) &&
    others.has(relationKey({ tablespace: tablespaceOid, database: databaseOid, relation: relationNumber }))
}

async function findMoment(
  { label, timeline, startLsn, stopLsn }: Backup,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<NameListMoment> {
  for await (const { key } of repository.store.list(nameListPrefix(cluster.id), context)) {
    const moment = parseNameListKey(cluster.id, key)
    const isOfBackup = moment?.timeline === timeline && moment.lsn >= startLsn && moment.lsn <= stopLsn
    if (isOfBackup) return moment
  }
  throw new OperationError('not-found', `backup ${label} has stored no names`)
}

async function readEntries(
  moment: NameListMoment,
  { backup, place }: { readonly backup: Backup; readonly place: ArchivePlace },
  context: RunContext,
): Promise<Iterable<NameListEntry>> {
  const { repository, cluster } = place
  const found = await readNameList(repository, { clusterId: cluster.id, moment }, context)
  if (found === undefined) throw new OperationError('not-found', `backup ${backup.label} has stored no names`)
  return found
}

interface Owners {
  readonly database: number
  /** OIDs of the tables. */
  readonly tables: ReadonlySet<number>
}

function findOwners(entries: Iterable<NameListEntry>, { database, tables }: NeededTables): Owners {
  const candidates: NamedTable[] = []
  let databaseOid: number | undefined
  for (const entry of entries) {
    if (entry.kind === 'database' && entry.database.name === database) databaseOid = entry.database.oid
    const table = tableOf(entry)
    if (table !== undefined && isCalled(table, tables)) candidates.push(table)
  }
  const found = candidates.filter((table) => table.database === databaseOid)
  const unknown = tables.find((name) => !found.some((table) => isCalled(table, [name])))
  if (databaseOid === undefined || unknown !== undefined) {
    const what = databaseOid === undefined ? `database ${quote(database)}` : `table ${quote(unknown ?? '')}`
    throw new OperationError(
      'not-found',
      `${what} is not among the names that the backup has stored: it was made later, has no files, or could not be looked at`,
    )
  }
  return { database: databaseOid, tables: new Set(found.map(({ oid }) => oid)) }
}

/** What holds rows, under its own name or, a partition, under that of the table that it is part of. */
type NamedTable = NamedPartition

function tableOf(entry: NameListEntry): NamedTable | undefined {
  if (entry.kind === 'partition') return entry.partition
  return entry.kind === 'relation' && 'rm'.includes(entry.relation.kind) ? entry.relation : undefined
}

/** As `findTable` does it. */
function isCalled({ schema, name }: NamedTable, wanted: readonly string[]): boolean {
  return wanted.includes(name) || wanted.includes(`${schema}.${name}`)
}

/** `wanted` are RelFileNumbers, `others` are relations by `relationKey`. */
function divide(
  entries: Iterable<NameListEntry>,
  owners: Owners,
): { readonly others: ReadonlySet<string>; readonly wanted: ReadonlySet<number> } {
  const others = new Set<string>()
  const wanted = new Set<number>()
  for (const entry of entries) {
    if (entry.kind !== 'relation') continue
    const { relation } = entry
    if (isPartOf(relation, owners)) wanted.add(relation.relation)
    else if (isOfUser(relation)) others.add(relationKey(relation))
  }
  return { others, wanted }
}

function isPartOf({ database, oid, schema, name }: NamedRelation, owners: Owners): boolean {
  return database === owners.database && owners.tables.has(toastOwnerOf({ schema, name }) ?? oid)
}

/** Not of a catalog, which is there whatever its file's number is: it may have been rewritten. */
function isOfUser({ database, oid, schema, name }: NamedRelation): boolean {
  const isShared = database === 0
  const owner = toastOwnerOf({ schema, name }) ?? oid
  return !isShared && schema !== 'pg_catalog' && Math.min(oid, owner) >= firstNormalOid
}

/** TOAST tables and their indexes are named for the table that they belong to: catalog/toasting.c. */
function toastOwnerOf({ schema, name }: Pick<NamedRelation, 'schema' | 'name'>): number | undefined {
  const [, owner] = (schema === 'pg_toast' && /^pg_toast_(\d+)(?:_index)?$/.exec(name)) || []
  return owner === undefined ? undefined : Number(owner)
}

import type { RunContext } from '../domain/run-context.ts'
import { parseLsn } from '../domain/lsn.ts'
import type { TimelineId } from '../domain/timeline.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { firstNormalOid } from '../postgres/object-ids.ts'
import { NameListWriter } from '../repository/name-list.ts'
import type { BackupTools } from './run-backup.ts'

/** A cluster has few hundred relations, or a million: so many rows are fetched at a time. */
const rowsAtATime = 10_000

interface Wanted {
  readonly conninfo: Conninfo
  readonly timeline: TimelineId
}

/**
 * Stores what is in the cluster now and what it is called, so that what the WAL tells of can be named later, also when it is
 * gone. Never throws: a backup is whole without names. A database that cannot be looked into is listed with the reason.
 */
export async function storeNames(
  wanted: Wanted,
  { repository, cluster }: BackupTools,
  context: RunContext,
): Promise<void> {
  try {
    await using session = await connect(wanted.conninfo, context)
    const [now] = await session.query<{ lsn: string }>('select pg_catalog.pg_current_wal_insert_lsn() as lsn')
    const moment = { timeline: wanted.timeline, lsn: parseLsn(now?.lsn ?? '') }
    const list = new NameListWriter(repository, cluster.id, moment)
    const conninfo = { ...wanted.conninfo, ...(await quietOptions(session, wanted.conninfo)) }
    for (const database of await databasesOf(session)) {
      const problem = await addRelations({ ...wanted, conninfo, database }, list, context)
      list.addDatabase({ ...database, problem })
    }
    await list.finish(context)
  } catch (error) {
    if (context.signal.aborted) return // whoever ends the backup says why
    context.report({
      kind: 'warning',
      message: `the names of relations were not stored: ${messageOf(error)}`,
      hint: 'Nothing of the backup is missing; "holdfast find" may show numbers instead of names.',
    })
  }
}

/** So that no database makes us run its login triggers (17 and later) with what a superuser may do. Others may not say so. */
async function quietOptions(
  session: PostgresSession,
  { options = '' }: Conninfo,
): Promise<Pick<Conninfo, 'options'>> {
  const [row] = await session.query<{ can: string }>(
    `select pg_catalog.current_setting('is_superuser') operator(pg_catalog.=) 'on'
        and pg_catalog.current_setting('event_triggers', true) is not null as can`,
  )
  return row?.can === 't' ? { options: `${options} -c event_triggers=off`.trim() } : {}
}

interface Database {
  readonly oid: number
  readonly name: string
  readonly isOpen: boolean
}

async function databasesOf(session: PostgresSession): Promise<readonly Database[]> {
  const rows = await session.query<{ oid: string; name: string; open: string }>(
    'select oid::pg_catalog.text as oid, datname as name, datallowconn as open from pg_catalog.pg_database order by oid',
  )
  return rows.map(({ oid, name, open }) => ({ oid: Number(oid), name, isOpen: open === 't' }))
}

/** Gives why they could not be read, or nothing. */
async function addRelations(
  { conninfo, database }: Wanted & { readonly database: Database },
  list: NameListWriter,
  context: RunContext,
): Promise<string> {
  if (!database.isOpen) return 'it allows no connections'
  try {
    await using session = await connect({ ...conninfo, dbname: database.name }, context)
    await session.query('begin isolation level repeatable read read only')
    const schemas = await session.query<{ oid: string; name: string }>(schemasQuery)
    for (const { oid, name } of schemas) list.addSchema({ database: database.oid, oid: Number(oid), name })
    await session.query(`declare names no scroll cursor for ${relationsQuery}`)
    await session.query(`declare partitions no scroll cursor for ${partitionsQuery}`)
    for (;;) {
      const rows = await session.query<RelationRow>(`fetch ${rowsAtATime} from names`)
      for (const row of rows) list.add(relationOf(row))
      if (rows.length < rowsAtATime) break
    }
    await addPartitions(session, database, list)
    return ''
  } catch (error) {
    if (context.signal.aborted) throw error
    return messageOf(error)
  }
}

async function addPartitions(
  session: PostgresSession,
  { oid }: Database,
  list: NameListWriter,
): Promise<void> {
  for (;;) {
    const rows = await session.query<PartitionRow>(`fetch ${rowsAtATime} from partitions`)
    for (const { oid: partition, schema, name } of rows)
      list.addPartition({ database: oid, oid: Number(partition), schema, name })
    if (rows.length < rowsAtATime) return
  }
}

/** Neither those that every database has, nor those of sessions. */
const schemasQuery = `
  select oid::pg_catalog.text as oid, nspname as name from pg_catalog.pg_namespace
  where oid operator(pg_catalog.>=) ${firstNormalOid}::pg_catalog.oid
    and nspname operator(pg_catalog.!~) '^pg_(toast_)?temp_'`

/** What has files of its own; temporary relations are not in the WAL. */
const relationsQuery = `
  select case when c.reltablespace operator(pg_catalog.=) 0 then d.dattablespace else c.reltablespace end::pg_catalog.text as tablespace,
         case when c.relisshared then '0' else d.oid::pg_catalog.text end as database,
         pg_catalog.pg_relation_filenode(c.oid)::pg_catalog.text as relation,
         c.oid::pg_catalog.text as oid, c.relkind::pg_catalog.text as kind, n.nspname as schema, c.relname as name,
         c.reltuples::pg_catalog.int8::pg_catalog.text as rows
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
  cross join (select oid, dattablespace from pg_catalog.pg_database
              where datname operator(pg_catalog.=) pg_catalog.current_database()) d
  where c.relpersistence operator(pg_catalog.<>) 't'
    and pg_catalog.pg_relation_filenode(c.oid) operator(pg_catalog.>=) ${firstNormalOid}::pg_catalog.oid`

/** Partitions that have files, with each table that they are part of. */
const partitionsQuery = `
  select c.oid::pg_catalog.text as oid, n.nspname as schema, p.relname as name
  from pg_catalog.pg_class c
  cross join lateral pg_catalog.pg_partition_ancestors(c.oid::pg_catalog.regclass) a(oid)
  join pg_catalog.pg_class p on p.oid operator(pg_catalog.=) a.oid::pg_catalog.oid and p.oid operator(pg_catalog.<>) c.oid
  join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.relnamespace
  where c.relispartition and c.relkind operator(pg_catalog.=) 'r' and c.relpersistence operator(pg_catalog.<>) 't'`

interface PartitionRow {
  readonly oid: string
  readonly schema: string
  readonly name: string
}

interface RelationRow {
  readonly tablespace: string
  readonly database: string
  readonly relation: string
  readonly oid: string
  readonly kind: string
  readonly schema: string
  readonly name: string
  readonly rows: string
}

function relationOf({ tablespace, database, relation, oid, rows, ...words }: RelationRow) {
  return {
    ...words,
    tablespace: Number(tablespace),
    database: Number(database),
    relation: Number(relation),
    oid: Number(oid),
    // -1: never counted.
    rows: Number(rows) < 0 ? undefined : Number(rows),
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

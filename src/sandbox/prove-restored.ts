import type { PostgresSession } from '../postgres/connection.ts'
import { firstNormalOid } from '../postgres/object-ids.ts'
import type { LeftOut } from '../restore/leave-out.ts'
import { qualified, type FoundTable } from './table-definition.ts'

/** What is read when rows of the tables are: their partitions, all TOAST tables with their indexes, and the catalogs. */
const readRelations = `
  with wanted as (
    select t.oid from pg_catalog.unnest($1::pg_catalog.oid[]) t(oid)
    union
    select p.relid::pg_catalog.oid from pg_catalog.unnest($1::pg_catalog.oid[]) t(oid), pg_catalog.pg_partition_tree(t.oid::pg_catalog.regclass) p
  ), stored as (
    select c.oid, c.reltoastrelid from pg_catalog.pg_class c
     where c.oid operator(pg_catalog.<) ${firstNormalOid}::pg_catalog.oid or c.oid in (select w.oid from wanted w)
  ), readable as (
    select s.oid from stored s
    union
    select s.reltoastrelid from stored s where s.reltoastrelid operator(pg_catalog.<>) 0::pg_catalog.oid
    union
    select i.indexrelid from stored s join pg_catalog.pg_index i on i.indrelid operator(pg_catalog.=) s.reltoastrelid
  )`

/**
 * The first relation that must be read for the rows of the tables and whose files were left out, by its name; undefined:
 * there is none. A file that the backup did not have was made by the WAL alone. Catalogs must be whole to ask.
 */
export async function findUnrestored(
  session: PostgresSession,
  { found, leftOut }: { readonly found: readonly FoundTable[]; readonly leftOut: LeftOut },
): Promise<string | undefined> {
  const files = await session.query<{ name: string; file: string | null }>(
    `${readRelations}
     select c.relname as name, pg_catalog.pg_relation_filenode(c.oid)::pg_catalog.text as file
       from pg_catalog.pg_class c where c.oid in (select r.oid from readable r)`,
    [oidsOf(found)],
  )
  return files.find(({ file }) => file !== null && leftOut.relations.has(Number(file)))?.name
}

/** Makes the server plan as if the tables had no indexes: those were left out, and planning opens them. */
export async function forgetIndexes(session: PostgresSession, found: readonly FoundTable[]): Promise<void> {
  await session.query('begin read write')
  await session.query(
    `${readRelations}
     update pg_catalog.pg_class c set relhasindex = false where c.oid in (select w.oid from wanted w)`,
    [oidsOf(found)],
  )
  await session.query('commit')
}

/** Plans and begins to read, so that what the server cannot do without shows before anything is copied. */
export async function tryReading(session: PostgresSession, found: readonly FoundTable[]): Promise<void> {
  for (const table of found)
    await session.query(`select from ${table.kind === 'p' ? '' : 'only '}${qualified(table)} limit 1`)
}

const oidsOf = (found: readonly FoundTable[]): string => `{${found.map(({ oid }) => oid).join(',')}}`

import { isOperationError } from '../domain/operation-error.ts'
import type { PostgresSession } from '../postgres/connection.ts'

/** Something in a database that pg_dump would fail at under the session's role. */
export interface DumpObstacle {
  /** `unreadable`: tables and sequences; `row-security`: tables of which it would see some rows only, which pg_dump refuses. */
  readonly kind: 'unreadable' | 'row-security' | 'large-objects'
  readonly count: number
  /** Its qualified name, or the number of a large object. */
  readonly first: string
}

interface ObstacleRow {
  readonly kind: DumpObstacle['kind']
  readonly count: string
  readonly first: string
}

/**
 * What of an extension is dumped are the rows of its configuration tables. pg_dump locks tables by name, so it needs the schema as
 * well; it reads large objects by lo_open, for which pg_read_all_data does not count.
 */
const obstaclesQuery = `
  with dumped as (
    select c.oid, c.relkind, c.relnamespace, pg_catalog.format('%I.%I', n.nspname, c.relname) as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'S') and c.relpersistence <> 't'
       and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
       and (c.oid in (select pg_catalog.unnest(extconfig) from pg_catalog.pg_extension)
         or not exists (select from pg_catalog.pg_depend d
           where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e'))
  )
  select 'unreadable' as kind, pg_catalog.count(*) as count, pg_catalog.min(name) as first from dumped
   where not pg_catalog.has_table_privilege(oid, 'SELECT')
      or not pg_catalog.has_schema_privilege(relnamespace, 'USAGE')
  union all
  select 'row-security', pg_catalog.count(*), pg_catalog.min(name) from dumped
   where relkind <> 'S' and pg_catalog.row_security_active(oid)
  union all
  select 'large-objects', pg_catalog.count(*), pg_catalog.min(m.oid)::pg_catalog.text
    from pg_catalog.pg_largeobject_metadata m
   where pg_catalog.current_setting('lo_compat_privileges') = 'off'
     and not exists (
       select from pg_catalog.aclexplode(coalesce(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) a
        where a.privilege_type = 'SELECT' and (a.grantee = 0 or pg_catalog.pg_has_role(a.grantee, 'USAGE')))
`

/** Looks through the session's database for what its role may not dump. Empty: nothing is known that stands in the way. */
export async function findDumpObstacles(session: PostgresSession): Promise<readonly DumpObstacle[]> {
  const rows = await session.query<ObstacleRow>(obstaclesQuery, [], {
    doing: 'looking for what the role may not dump',
  })
  return rows
    .map(({ kind, count, first }) => ({ kind, first, count: Number(count) }))
    .filter(({ count }) => count > 0)
}

/** Whether the role has the right to; what pg_hba.conf says is another matter. */
export async function mayConnect(session: PostgresSession, database: string): Promise<boolean> {
  const [row] = await session.query<{ may: string }>(
    "select pg_catalog.has_database_privilege($1, 'CONNECT') as may",
    [database],
  )
  return row?.may === 't'
}

/** Whether the role may read the hashes of passwords, as dumping roles with them takes. Asked by trying: providers close what the rights leave open. */
export async function mayReadPasswords(session: PostgresSession): Promise<boolean> {
  try {
    await session.query('select 1 from pg_catalog.pg_authid limit 1')
    return true
  } catch (error) {
    if (isOperationError(error, 'server-lacks-privilege')) return false
    throw error
  }
}

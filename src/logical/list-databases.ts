import { OperationError } from '../domain/operation-error.ts'
import { parseTargetTime, type Instant } from '../domain/target-time.ts'
import type { PostgresSession } from '../postgres/connection.ts'

/** The databases that can be dumped, by name: those that let somebody in, without templates and what is excluded. */
export async function listDatabases(
  session: PostgresSession,
  excluded: readonly string[] = [],
): Promise<readonly string[]> {
  const rows = await session.query<{ datname: string }>(
    'select datname from pg_catalog.pg_database where datallowconn and not datistemplate order by datname',
  )
  return rows.map(({ datname }) => datname).filter((name) => !excluded.includes(name))
}

/** Throws `not-found` unless all of these are among the databases of the server. */
export async function requireDatabases(session: PostgresSession, wanted: readonly string[]): Promise<void> {
  const rows = await session.query<{ datname: string }>('select datname from pg_catalog.pg_database')
  const known = new Set(rows.map(({ datname }) => datname))
  const missing = wanted.filter((name) => !known.has(name))
  if (missing.length === 0) return
  throw new OperationError(
    'not-found',
    `dumping databases of ${session.description}: there is no database ${missing.map((name) => `"${name}"`).join(', ')}`,
    { hint: 'Names are taken as they are written, upper and lower case too.' },
  )
}

/** The role that `initdb` made. Grants of superusers say that they are from it. */
export async function readFirstRole(session: PostgresSession): Promise<string> {
  const [row] = await session.query<{ rolname: string }>(
    'select rolname from pg_catalog.pg_roles where oid = 10', // BOOTSTRAP_SUPERUSERID
  )
  if (row === undefined) throw new Error('a server without its first role')
  return row.rolname
}

/** By the server's clock. */
export async function serverTime(session: PostgresSession): Promise<Instant> {
  const [row] = await session.query<{ now: string }>(
    `select pg_catalog.to_char(pg_catalog.clock_timestamp(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as now`,
  )
  if (row === undefined) throw new Error('a select without a row')
  return parseTargetTime(row.now)
}

import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import { connect } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { quoteIdentifier } from '../postgres/quote-sql.ts'
import { loadDump } from './load-dump.ts'
import type { LoadSelection } from './load-selection.ts'
import type { LoadSpooling } from './spool.ts'

export interface LoadRequest {
  /** Of the server, and of a database that is there. */
  readonly conninfo: Conninfo
  /** The database that is loaded into. */
  readonly database: string
  /** Whether it is made first. */
  readonly isCreated: boolean
  /** How it is made, as CREATE DATABASE takes it; default: as the server makes databases. */
  readonly creation?: string | undefined
  readonly selection: LoadSelection
  readonly programs: ClientPrograms
  readonly chunks: AsyncIterable<Uint8Array>
  /** As for `loadDump`. */
  readonly spooling?: LoadSpooling | undefined
}

/**
 * Loads into a database, which is made first when that is asked for: then, after a failure, it is removed again. Throws what
 * `loadDump` throws, and `database-occupied` when a database that is to be made is there.
 */
export async function runLoad(
  { conninfo, database, isCreated, creation = '', ...loading }: LoadRequest,
  context: RunContext,
): Promise<void> {
  const target = { ...conninfo, dbname: database }
  if (!isCreated) {
    await loadDump({ ...loading, conninfo: target }, context)
    return
  }
  await using session = await connect(conninfo, context)
  const [there] = await session.query('select 1 from pg_catalog.pg_database where datname = $1', [database])
  if (there !== undefined) throw occupied(database)
  await session.query(`create database ${quoteIdentifier(database)} ${creation}`)
  try {
    await loadDump({ ...loading, conninfo: target }, context)
  } catch (error) {
    if (!context.signal.aborted) await session.query(`drop database ${quoteIdentifier(database)}`)
    else
      context.report({ kind: 'warning', message: `the new database ${quote(database)} stays, and is empty` })
    throw error
  }
}

function occupied(database: string): OperationError {
  return new OperationError(
    'database-occupied',
    `making database ${quote(database)}: there is one of that name`,
    {
      hint: 'Load into it without --create, or name another one with --into.',
    },
  )
}

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { parseLsn, type Lsn } from '../domain/lsn.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { startPiped, type PipedProcess } from '../platform/piped-process.ts'
import { clientEnvironment } from '../postgres/client-environment.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { directoryOutput } from './dump-directory.ts'
import { pgDumpArguments, type DumpSelection } from './dump-selection.ts'
import { makeSpool, type Spooling } from './spool.ts'
import { wholeOutput } from './whole-output.ts'

export interface DumpDatabaseRequest {
  /** Whose `dbname` is the database. */
  readonly conninfo: Conninfo
  readonly programs: ClientPrograms
  readonly selection: DumpSelection
  /** For the directory format. */
  readonly spooling?: Spooling | undefined
  /** At which pg_dump compresses by zstd. Undefined: it does not compress. */
  readonly zstdLevel?: number | undefined
}

/** Where the server was. Between the two the dump was taken; its content is that of the first, of one snapshot. */
interface DumpWindow {
  readonly startLsn: Lsn
  readonly stopLsn: Lsn
}

/** A database that is being dumped. Disposing it ends what is under way. */
export interface DatabaseDump extends AsyncDisposable {
  readonly snapshot: string
  /**
   * What pg_dump writes, in order; a piece may be read until the next is asked for. Throws at its end when pg_dump has
   * failed, or when what it wrote cannot be whole: until then it is no dump.
   */
  readonly chunks: AsyncIterable<Uint8Array>
  /** After the last chunk. */
  window(): DumpWindow
}

/** Begins to dump a database as it is now: in a snapshot that is exported by a session of ours, whose LSN is known. */
export async function dumpDatabase(
  { conninfo, programs, selection, spooling, zstdLevel }: DumpDatabaseRequest,
  context: RunContext,
): Promise<DatabaseDump> {
  const env = clientEnvironment(conninfo)
  await using opened = new AsyncDisposableStack()
  const session = opened.use(await connect(conninfo, context))
  await session.query('begin isolation level repeatable read read only')
  const { snapshot, lsn: startLsn } = await exportSnapshot(session)
  const start = async (directory?: { path: string; jobs: number }): Promise<PipedProcess> =>
    opened.use(
      await startPiped(programs.pgDump, pgDumpArguments(selection, { snapshot, directory, zstdLevel }), {
        env,
        signal: context.signal,
      }),
    )
  const what = `dumping database ${quote(conninfo.dbname)}`
  let output: AsyncIterable<Uint8Array>
  if (selection.format === 'directory') {
    assert(spooling, 'the directory format needs a place for its files')
    const spool = opened.use(await makeSpool(spooling.parent, context))
    const folder = join(spool.path, 'dump')
    const program = await start({ path: folder, jobs: spooling.jobs })
    output = directoryOutput({ program, folder, spool, what }, context)
  } else output = wholeOutput(await start(), { format: selection.format, what })
  let stopLsn: Lsn | undefined
  const chunks = async function* (): AsyncGenerator<Uint8Array, void> {
    yield* output
    stopLsn = await readLsn(session)
  }
  const lifetime = opened.move()
  return {
    snapshot,
    chunks: chunks(),
    window: () => {
      if (stopLsn === undefined) throw new Error('a dump that has not ended has no window')
      return { startLsn, stopLsn }
    },
    [Symbol.asyncDispose]: () => lifetime.disposeAsync(),
  }
}

/** Of a standby, how far it has replayed. */
const currentLsn =
  'case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_insert_lsn() end as lsn'

async function exportSnapshot(
  session: PostgresSession,
): Promise<{ readonly snapshot: string; readonly lsn: Lsn }> {
  const [row] = await session.query<{ snapshot: string; lsn: string }>(
    `select pg_catalog.pg_export_snapshot() as snapshot, ${currentLsn}`,
  )
  if (row === undefined) throw new Error('a select without a row')
  return { snapshot: row.snapshot, lsn: parseLsn(row.lsn) }
}

async function readLsn(session: PostgresSession): Promise<Lsn> {
  const [row] = await session.query<{ lsn: string }>(`select ${currentLsn}`)
  if (row === undefined) throw new Error('a select without a row')
  return parseLsn(row.lsn)
}

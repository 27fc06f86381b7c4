import assert from 'node:assert/strict'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { startPiped } from '../platform/piped-process.ts'
import { clientEnvironment } from '../postgres/client-environment.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { lastLines } from './last-lines.ts'
import { pgRestoreArguments, psqlArguments, type LoadSelection } from './load-selection.ts'
import { makeSpool, requireSpoolRoom, type LoadSpooling } from './spool.ts'
import { writeDumpDirectory, writeDumpFile } from './write-dump-file.ts'

export interface LoadDumpRequest {
  /** Whose `dbname` is the database that is loaded into, and is there. */
  readonly conninfo: Conninfo
  readonly programs: ClientPrograms
  readonly selection: LoadSelection
  /** The dump, in order. When it fails nothing is loaded. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** For the directory format, and for several jobs. Default: one job, and no files. */
  readonly spooling?: LoadSpooling | undefined
}

/**
 * Loads a dump, or a part of it, into a database. Throws `load-failed`; with one job the database is then as it was, for all of
 * it was one transaction. What the dump's own failure is, such as `damaged`, is thrown as it is.
 */
export async function loadDump(request: LoadDumpRequest, context: RunContext): Promise<void> {
  const { conninfo, programs, selection, chunks, spooling } = request
  const { dbname } = conninfo
  const isStream = selection.format !== 'directory' && (spooling?.jobs ?? 1) === 1
  if (selection.format === 'plain') {
    await runLoader({ conninfo, file: programs.psql, args: psqlArguments(dbname), input: chunks }, context)
  } else if (isStream) {
    const args = pgRestoreArguments(selection, dbname)
    await runLoader({ conninfo, file: programs.pgRestore, args, input: chunks }, context)
  } else await loadFiles(request, context)
}

/** From files: several processes read them at once. */
async function loadFiles(
  { conninfo, programs, selection, chunks, spooling }: LoadDumpRequest,
  context: RunContext,
): Promise<void> {
  assert(spooling, 'a load from files needs a place for them')
  await using spool = await makeSpool(spooling.parent, context)
  requireSpoolRoom(spool, spooling.sizeBytes)
  const path = join(spool.path, 'dump')
  if (selection.format === 'directory') await writeDumpDirectory(path, chunks, context)
  else await writeDumpFile(path, chunks, context)
  const args = pgRestoreArguments(selection, conninfo.dbname, { path, jobs: spooling.jobs })
  await runLoader({ conninfo, file: programs.pgRestore, args, jobs: spooling.jobs }, context)
}

interface Loader {
  readonly conninfo: Conninfo
  readonly file: string
  readonly args: readonly string[]
  /** Default: it reads files. */
  readonly input?: AsyncIterable<Uint8Array>
  readonly jobs?: number
}

async function runLoader(
  { conninfo, file, args, input, jobs = 1 }: Loader,
  context: RunContext,
): Promise<void> {
  const options = { env: clientEnvironment(conninfo), signal: context.signal, ...(input && { input }) }
  await using program = await startPiped(file, args, options)
  for await (const _ of program.output) context.signal.throwIfAborted()
  const { exitCode, killedBy, stderr } = await program.ended
  if (exitCode === 0) return
  throw new OperationError(
    'load-failed',
    `loading into database ${quote(conninfo.dbname)}: "${file}" ended with ${exitCode ?? killedBy}: ${lastLines(stderr)}`,
    {
      hint:
        jobs === 1
          ? 'Nothing was changed: all of it was one transaction.'
          : 'What was loaded before stays, for several jobs cannot work in one transaction: load with --clean, or with one job.',
    },
  )
}

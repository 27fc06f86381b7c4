import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { startPiped } from '../platform/piped-process.ts'
import { clientEnvironment } from '../postgres/client-environment.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { lastLines } from './last-lines.ts'
import { pgRestoreArguments, psqlArguments, type LoadSelection } from './load-selection.ts'

export interface LoadDumpRequest {
  /** Whose `dbname` is the database that is loaded into, and is there. */
  readonly conninfo: Conninfo
  readonly programs: ClientPrograms
  readonly selection: LoadSelection
  /** The dump, in order. When it fails nothing is loaded. */
  readonly chunks: AsyncIterable<Uint8Array>
}

/**
 * Loads a dump, or a part of it, into a database, in one transaction. Throws `load-failed`; the database is then as it was.
 * What the dump's own failure is, such as `damaged`, is thrown as it is.
 */
export async function loadDump(
  { conninfo, programs, selection, chunks }: LoadDumpRequest,
  context: RunContext,
): Promise<void> {
  const { dbname } = conninfo
  const [file, args] =
    selection.format === 'custom'
      ? [programs.pgRestore, pgRestoreArguments(selection, dbname)]
      : [programs.psql, psqlArguments(dbname)]
  const env = clientEnvironment(conninfo)
  await using program = await startPiped(file, args, { env, signal: context.signal, input: chunks })
  for await (const _ of program.output) context.signal.throwIfAborted()
  const { exitCode, killedBy, stderr } = await program.ended
  if (exitCode === 0) return
  throw new OperationError(
    'load-failed',
    `loading into database ${quote(dbname)}: "${file}" ended with ${exitCode ?? killedBy}: ${lastLines(stderr)}`,
    { hint: 'Nothing was changed: all of it was one transaction.' },
  )
}

import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { startPiped } from '../platform/piped-process.ts'
import { clientEnvironment } from '../postgres/client-environment.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { wholeOutput } from './whole-output.ts'

interface DumpGlobalsRequest {
  readonly conninfo: Conninfo
  readonly programs: ClientPrograms
  /** Whether the hashes of passwords are in it, for which the role must be allowed to read pg_authid. */
  readonly hasPasswords: boolean
}

/**
 * What belongs to no database: roles, tablespaces, and what is set for them, as SQL text. It is no part of any snapshot. Throws
 * `dump-failed` at its end unless it is whole.
 */
export async function* dumpGlobals(
  { conninfo, programs, hasPasswords }: DumpGlobalsRequest,
  context: RunContext,
): AsyncGenerator<Uint8Array, void> {
  const args = [
    '--globals-only',
    '--no-password',
    `--database=${conninfo.dbname}`,
    ...(hasPasswords ? [] : ['--no-role-passwords']),
  ]
  const env = clientEnvironment(conninfo)
  await using program = await startPiped(programs.pgDumpall, args, { env, signal: context.signal })
  try {
    yield* wholeOutput(program, { format: 'plain', what: 'dumping roles and tablespaces' })
  } catch (error) {
    throw hasPasswords ? withHint(error) : error
  }
}

/** pg_dumpall reads the hashes in pg_authid, and all else about roles in pg_roles. */
function withHint(error: unknown): unknown {
  if (!isOperationError(error, 'dump-failed') || !error.message.includes('for table pg_authid')) return error
  const hint = 'Add --no-role-passwords: the role may not read the hashes of passwords.'
  return new OperationError('dump-failed', error.message, { cause: error, hint })
}

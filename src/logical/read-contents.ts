import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { startPiped } from '../platform/piped-process.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import { lastLines } from './last-lines.ts'

const environment = { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' }

/**
 * How many entries the table of contents of a custom archive has, read by pg_restore out of what was stored (P11). Throws
 * `damaged` when it cannot read it.
 */
export async function countContents(
  {
    programs,
    chunks,
  }: { readonly programs: Pick<ClientPrograms, 'pgRestore'>; readonly chunks: AsyncIterable<Uint8Array> },
  context: RunContext,
): Promise<number> {
  const options = { env: environment, signal: context.signal, input: chunks }
  await using program = await startPiped(programs.pgRestore, ['--list'], options)
  let count = 0
  let line = ''
  for await (const chunk of program.output) {
    const lines = (line + Buffer.from(chunk).toString('utf8')).split('\n')
    line = lines.pop() ?? ''
    count += lines.filter(isEntry).length
  }
  const { exitCode, killedBy, stderr } = await program.ended
  if (exitCode === 0) return count
  throw new OperationError(
    'damaged',
    `reading the table of contents of a dump: pg_restore ended with ${exitCode ?? killedBy}: ${lastLines(stderr)}`,
  )
}

/** Others are comments. */
const isEntry = (line: string): boolean => line !== '' && !line.startsWith(';')

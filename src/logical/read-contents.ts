import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { startPiped, type PipedProcess } from '../platform/piped-process.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import { contentsFile } from './dump-directory.ts'
import { lastLines } from './last-lines.ts'
import type { Spool } from './spool.ts'
import { unpackDirectory } from './unpack-directory.ts'

const environment = { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' }

interface Contents {
  readonly programs: Pick<ClientPrograms, 'pgRestore'>
  readonly chunks: AsyncIterable<Uint8Array>
  /** Undefined: the archive is one of the custom format. Else of the directory format, and is unpacked here as far as need be. */
  readonly spool: Pick<Spool, 'path'> | undefined
}

/**
 * How many entries the table of contents of an archive has, read by pg_restore out of what was stored (P11). Of one of the
 * directory format everything is read, for there it comes last. Throws `damaged` when it cannot read it.
 */
export async function countContents(
  { programs, chunks, spool }: Contents,
  context: RunContext,
): Promise<number> {
  const options = { env: environment, signal: context.signal }
  if (spool === undefined)
    return countEntries(await startPiped(programs.pgRestore, ['--list'], { ...options, input: chunks }))
  const folder = join(spool.path, 'contents')
  await mkdir(folder, { mode: 0o700 })
  await unpackDirectory({ folder, isWanted: (name) => name === contentsFile }, chunks, context)
  return countEntries(await startPiped(programs.pgRestore, ['--list', folder], options))
}

async function countEntries(started: PipedProcess): Promise<number> {
  await using program = started
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

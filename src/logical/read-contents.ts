import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { startPiped, type PipedProcess } from '../platform/piped-process.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import { contentsFile } from './dump-directory.ts'
import { lastLines } from './last-lines.ts'
import { makeSpool } from './spool.ts'
import { unpackDirectory } from './unpack-directory.ts'

const environment = { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' }

export interface ContentsRequest {
  readonly programs: Pick<ClientPrograms, 'pgRestore'>
  readonly chunks: AsyncIterable<Uint8Array>
  /** Of the directory format: where its table of contents is a file meanwhile. Undefined: the custom format. */
  readonly spoolParent: string | undefined
}

/**
 * Starts pg_restore on what it needs of an archive when it does not load it. Of the directory format everything is read before,
 * for there the contents come last. Throws what `chunks` throws.
 */
export async function startOnContents(
  args: readonly string[],
  { programs, chunks, spoolParent }: ContentsRequest,
  context: RunContext,
): Promise<PipedProcess> {
  const options = { env: environment, signal: context.signal }
  if (spoolParent === undefined) return startPiped(programs.pgRestore, args, { ...options, input: chunks })
  await using opened = new AsyncDisposableStack()
  const spool = opened.use(await makeSpool(spoolParent, context))
  const folder = join(spool.path, 'contents')
  await mkdir(folder, { mode: 0o700 })
  await unpackDirectory({ folder, isWanted: (name) => name === contentsFile }, chunks, context)
  const program = opened.use(await startPiped(programs.pgRestore, [...args, folder], options))
  const owned = opened.move()
  return { ...program, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/**
 * How many entries the table of contents of an archive has, read by pg_restore out of what was stored (P11). Throws `damaged`
 * when it cannot read it.
 */
export async function countContents(request: ContentsRequest, context: RunContext): Promise<number> {
  let count = 0
  for await (const _ of listContents(request, context)) count += 1
  return count
}

/** The entries of the table of contents of an archive, as `pg_restore --list` prints them. Throws as `countContents`. */
export async function* listContents(
  request: ContentsRequest,
  context: RunContext,
): AsyncGenerator<string, void> {
  await using program = await startOnContents(['--list'], request, context)
  let line = ''
  for await (const chunk of program.output) {
    const lines = (line + Buffer.from(chunk).toString('utf8')).split('\n')
    line = lines.pop() ?? ''
    yield* lines.filter(isEntry)
  }
  const { exitCode, killedBy, stderr } = await program.ended
  if (exitCode === 0) return
  throw new OperationError(
    'damaged',
    `reading the table of contents of a dump: pg_restore ended with ${exitCode ?? killedBy}: ${lastLines(stderr)}`,
  )
}

/** Others are comments. */
const isEntry = (line: string): boolean => line !== '' && !line.startsWith(';')

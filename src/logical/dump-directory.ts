import { open, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { tarEnd, tarHeader, tarPadding } from '../codec/tar.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { openFilesOf } from '../platform/open-files.ts'
import type { PipedProcess } from '../platform/piped-process.ts'
import { customMagic } from './dump-ends.ts'
import { lastLines } from './last-lines.ts'
import { requireSpoolRoom, type Spool } from './spool.ts'

interface DirectoryDump {
  readonly program: PipedProcess
  /** Which pg_dump makes. */
  readonly folder: string
  readonly spool: Spool
  /** For messages. */
  readonly what: string
}

/** The table of contents, which pg_dump writes last. */
export const contentsFile = 'toc.dat'
/** Of a table or a large object: written once, by one process. Lists of large objects are written in several goes. */
const onceWritten = /^(?:blob_)?\d+\.dat(?:\.zst)?$/
const lookIntervalMs = 100
const chunkBytes = 1024 * 1024
const chunksPerLook = 64

/**
 * What pg_dump writes as a directory, as one stream of tar: each file as soon as it is complete, after which it is removed,
 * and the table of contents last. Each piece may be read until the next is asked for. Throws `no-space` when more is waiting
 * than the spool may hold, and `dump-failed` at its end unless it is a whole dump.
 */
export async function* directoryOutput(
  dump: DirectoryDump,
  context: RunContext,
): AsyncGenerator<Uint8Array, void> {
  const { program, folder, what } = dump
  const ending = endOf(program)
  const ended = new AbortController()
  const end = (): void => ended.abort()
  ending.then(end, end) // whoever asks how it ended is told below
  const looking = AbortSignal.any([ended.signal, context.signal])
  let seen: ReadonlySet<string> = new Set()
  while (!ended.signal.aborted) {
    const names = await namesIn(dump)
    for (const name of await completeFiles(dump, { names, seen })) yield* takeFile(dump, name, context)
    seen = new Set(names)
    await context.clock.sleep(lookIntervalMs, looking).catch(() => undefined)
    context.signal.throwIfAborted()
  }
  const { exitCode, killedBy, stderr } = await ending
  if (exitCode !== 0)
    throw new OperationError(
      'dump-failed',
      `${what}: the program ended with ${exitCode ?? killedBy}: ${lastLines(stderr)}`,
    )
  const rest = (await namesIn(dump)).filter((name) => name !== contentsFile)
  for (const name of rest) yield* takeFile(dump, name, context)
  await requireContents(join(folder, contentsFile), what)
  yield* takeFile(dump, contentsFile, context)
  yield tarEnd()
}

async function endOf(program: PipedProcess): Promise<Awaited<PipedProcess['ended']>> {
  // It writes nothing there; unless somebody reads that, it does not end.
  for await (const _ of program.output);
  return program.ended
}

/** What is there, in order. Throws when that is more than may be. */
async function namesIn({ folder, spool }: DirectoryDump): Promise<readonly string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (hasSystemCode(error, 'ENOENT')) return [] // it has not begun
    throw error
  })
  let bytes = 0
  for (const name of names) bytes += (await stat(join(folder, name))).size
  requireSpoolRoom(spool, bytes)
  return names.toSorted((one, other) => (one < other ? -1 : 1))
}

/** Those that nobody has open any more. One that has just appeared may not be open yet. */
async function completeFiles(
  { folder, program }: DirectoryDump,
  { names, seen }: { readonly names: readonly string[]; readonly seen: ReadonlySet<string> },
): Promise<readonly string[]> {
  const candidates = names.filter((name) => seen.has(name) && onceWritten.test(name))
  if (candidates.length === 0) return []
  const inUse = await openFilesOf(program.pid)
  return inUse === undefined ? [] : candidates.filter((name) => !inUse.has(join(folder, name)))
}

async function* takeFile(
  dump: DirectoryDump,
  name: string,
  { signal }: Pick<RunContext, 'signal'>,
): AsyncGenerator<Uint8Array, void> {
  const path = join(dump.folder, name)
  await using file = await open(path, 'r')
  const { size: sizeBytes } = await file.stat()
  yield tarHeader({ name, sizeBytes })
  const buffer = Buffer.allocUnsafeSlow(Math.min(sizeBytes, chunkBytes))
  for (let left = sizeBytes, count = 1; left > 0; count += 1) {
    signal.throwIfAborted()
    // A large one takes a while, and the others grow meanwhile.
    if (count % chunksPerLook === 0) await namesIn(dump)
    const { bytesRead } = await file.read(buffer, 0, Math.min(left, buffer.length))
    if (bytesRead === 0) throw new OperationError('dump-failed', `reading "${path}": it became shorter`)
    left -= bytesRead
    yield buffer.subarray(0, bytesRead)
  }
  yield tarPadding(sizeBytes)
  await unlink(path)
}

async function requireContents(path: string, what: string): Promise<void> {
  const head = Buffer.alloc(customMagic.length)
  try {
    await using file = await open(path, 'r')
    await file.read(head, 0, head.length)
  } catch (error) {
    if (!hasSystemCode(error, 'ENOENT')) throw error
  }
  if (head.toString('latin1') !== customMagic)
    throw new OperationError('dump-failed', `${what}: it has no table of contents`)
}

import { closeSync, constants, fstatSync, openSync, readSync, type BigIntStats } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'
import type { FileMemory } from './file-memory.ts'

/** Files up to this size are read once, into memory, and archived as one object; history files always are. */
export const wholeFileBytes = 32 * 1024 * 1024

/** The largest file that PostgreSQL hands to an archive_command: a segment of 1 GiB. */
const largestFileBytes = 1024 * 1024 * 1024

/** A file that is to be archived. */
export interface WalSource extends AsyncDisposable {
  readonly path: string
  readonly sizeBytes: number
  /** As the system gives it, in nanoseconds: which version of the file this is. */
  readonly modifiedAtNs: bigint
  /** Exactly these bytes. */
  readAt(offset: number, length: number): Promise<Uint8Array>
}

const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Opens a file; throws `file-unreadable` when that cannot be done, or when it is something that no server archives. */
export async function openWalSource(path: string): Promise<WalSource> {
  await using opened = new AsyncDisposableStack()
  const file = opened.use(await openFile(path))
  const { sizeBytes, modifiedAtNs } = examine(await file.stat({ bigint: true }), path)
  const lifetime = opened.move()
  return {
    path,
    sizeBytes,
    modifiedAtNs,
    readAt: (offset, length) => readExactly(file, { path, offset, length }),
    [Symbol.asyncDispose]: () => lifetime.disposeAsync(),
  }
}

/**
 * Reads a file into `memory`, at once and in this thread; undefined for one that is larger than `wholeFileBytes`. Throws
 * like `openWalSource`.
 */
export function readWholeFile(
  path: string,
  memory: FileMemory,
): { readonly content: Uint8Array; readonly modifiedAtNs: bigint } | undefined {
  const fd = openHere(path)
  try {
    const { sizeBytes, modifiedAtNs } = examine(fstatSync(fd, { bigint: true }), path)
    if (sizeBytes > wholeFileBytes) return undefined
    const content = memory.take(sizeBytes)
    fill(content, fd, path)
    return { content, modifiedAtNs }
  } finally {
    closeSync(fd)
  }
}

function openHere(path: string): number {
  try {
    return openSync(path, openFlags)
  } catch (cause) {
    throw unreadable(path, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function fill(bytes: Uint8Array, fd: number, path: string): void {
  let done = 0
  while (done < bytes.length) {
    const bytesRead = readHere(fd, { bytes, done, path })
    if (bytesRead === 0) throw unreadable(path, `expected ${bytes.length} bytes, found ${done}`)
    done += bytesRead
  }
}

function readHere(
  fd: number,
  { bytes, done, path }: { readonly bytes: Uint8Array; readonly done: number; readonly path: string },
): number {
  try {
    return readSync(fd, bytes, done, bytes.length - done, done)
  } catch (cause) {
    throw unreadable(path, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, openFlags)
  } catch (cause) {
    throw unreadable(path, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function examine(found: BigIntStats, path: string): { sizeBytes: number; modifiedAtNs: bigint } {
  if (!found.isFile()) throw unreadable(path, 'expected a file, found something else')
  const sizeBytes = Number(found.size)
  if (sizeBytes > largestFileBytes) {
    throw unreadable(path, `expected at most ${largestFileBytes} bytes, found ${sizeBytes}`)
  }
  return { sizeBytes, modifiedAtNs: found.mtimeNs }
}

async function readExactly(
  file: FileHandle,
  { path, offset, length }: { path: string; offset: number; length: number },
): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await readSome(file, { path, bytes: bytes.subarray(done), position: offset + done })
    if (bytesRead === 0) throw unreadable(path, `expected ${length} bytes at ${offset}, found ${done}`)
    done += bytesRead
  }
  return bytes
}

async function readSome(
  file: FileHandle,
  { path, bytes, position }: { path: string; bytes: Buffer; position: number },
): Promise<{ bytesRead: number }> {
  try {
    return await file.read(bytes, 0, bytes.length, position)
  } catch (cause) {
    throw unreadable(path, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function unreadable(path: string, found: string, cause?: unknown): OperationError {
  return new OperationError('file-unreadable', `reading "${path}" to archive it: ${found}`, {
    hint: 'PostgreSQL hands over the right path with "%p"; it is relative to the data directory.',
    ...(cause !== undefined && { cause }),
  })
}

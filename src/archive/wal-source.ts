import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'

/** Files up to this size are read once, into memory, and archived as one object. */
export const wholeFileBytes = 32 * 1024 * 1024

/** The largest file that PostgreSQL hands to an archive_command: a segment of 1 GiB. */
const largestFileBytes = 1024 * 1024 * 1024

/** A file that is to be archived. */
export interface WalSource extends AsyncDisposable {
  readonly path: string
  readonly sizeBytes: number
  /** As the system gives it, in nanoseconds: which version of the file this is. */
  readonly modifiedAtNs: bigint
  /** Exactly these bytes. For a file up to `wholeFileBytes` always the ones that were read when it was opened. */
  readAt(offset: number, length: number): Promise<Uint8Array>
}

/** Opens a file; throws `file-unreadable` when that cannot be done, or when it is something that no server archives. */
export async function openWalSource(path: string): Promise<WalSource> {
  await using opened = new AsyncDisposableStack()
  const file = opened.use(await openFile(path))
  const { size, mtimeNs } = await statFile(file, path)
  const source = {
    path,
    sizeBytes: size,
    modifiedAtNs: mtimeNs,
    readAt: (offset: number, length: number) => readExactly(file, { path, offset, length }),
  }
  if (size > wholeFileBytes) {
    const lifetime = opened.move()
    return { ...source, [Symbol.asyncDispose]: () => lifetime.disposeAsync() }
  }
  const content = await source.readAt(0, size)
  return {
    ...source,
    readAt: (offset, length) => Promise.resolve(content.subarray(offset, offset + length)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    throw unreadable(path, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

async function statFile(file: FileHandle, path: string): Promise<{ size: number; mtimeNs: bigint }> {
  const found = await file.stat({ bigint: true })
  if (!found.isFile()) throw unreadable(path, 'expected a file, found something else')
  const size = Number(found.size)
  if (size > largestFileBytes) {
    throw unreadable(path, `expected at most ${largestFileBytes} bytes, found ${size}`)
  }
  return { size, mtimeNs: found.mtimeNs }
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

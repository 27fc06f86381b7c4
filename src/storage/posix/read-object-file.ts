import assert from 'node:assert/strict'
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { OperationError } from '../../domain/operation-error.ts'
import { entryOf, hasSystemCode, ioStepBytes, retryInterrupted } from '../../platform/durable-file.ts'
import { resolveRange } from '../byte-range.ts'
import type { ByteRange } from '../object-store.ts'
import { unsafeEntry } from './folder-chain.ts'

interface ObjectRead {
  readonly range: ByteRange | undefined
  readonly signal: AbortSignal | undefined
  /** The object, for messages. */
  readonly what: string
}

/** Reads a file of an open folder, or a range of it; undefined when there is none. */
export async function readObjectFile(
  folder: FileHandle,
  name: string,
  { range, signal, what }: ObjectRead,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  await using file = await openFile(folder, name)
  if (file === undefined) return undefined
  const found = await file.stat()
  if (found.isDirectory()) return undefined
  if (!found.isFile()) throw unsafeEntry(name, 'a regular file')
  const wanted = resolveRange(range, found.size, what)
  const bytes = allocate(wanted.length)
  const readBytes = await readFully(file, { bytes, offset: wanted.offset, signal })
  if (readBytes === bytes.length) return bytes
  throw new OperationError(
    'store-failed',
    `reading ${what}: expected ${bytes.length} bytes at ${wanted.offset}, found only ${readBytes}`,
    { hint: 'An object never changes: look into the system log for errors of this disk or file system.' },
  )
}

/** O_NONBLOCK, because opening a FIFO that somebody put there would wait for ever; regular files do not care. */
async function openFile(folder: FileHandle, name: string): Promise<FileHandle | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  try {
    return await open(entryOf(folder, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return undefined
    if (hasSystemCode(error, 'ELOOP')) throw unsafeEntry(name, 'a regular file', error)
    throw error
  }
}

/** Memory of its own, not zeroed first and not a slice of Node's shared pool. */
function allocate(length: number): Uint8Array<ArrayBuffer> {
  const { buffer } = Buffer.allocUnsafeSlow(length)
  assert.equal(buffer.byteLength, length)
  return new Uint8Array(buffer)
}

interface Filling {
  readonly bytes: Uint8Array
  readonly offset: number
  readonly signal: AbortSignal | undefined
}

/** Fills `bytes` from the file, going on after short reads. Gives how many bytes there were. */
async function readFully(file: FileHandle, { bytes, offset, signal }: Filling): Promise<number> {
  let done = 0
  while (done < bytes.length) {
    signal?.throwIfAborted()
    const start = done
    const length = Math.min(ioStepBytes, bytes.length - start)
    const { bytesRead } = await retryInterrupted(() => file.read(bytes, start, length, offset + start))
    if (bytesRead === 0) return done
    done += bytesRead
  }
  return done
}

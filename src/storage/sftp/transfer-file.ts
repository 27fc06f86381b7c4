import assert from 'node:assert/strict'
import { OperationError } from '../../domain/operation-error.ts'
import type { ByteRange } from '../object-store.ts'
import { eachChunk } from './each-chunk.ts'
import { isPlainFailure, SftpFault, unlessAbsent } from './sftp-fault.ts'
import type { Handle, SftpSession } from './sftp-session.ts'

interface FileRead {
  readonly path: string
  /** How large the file was when it was looked up: it must still be so. */
  readonly sizeBytes: number
  readonly range: ByteRange
  /** The object, for messages. */
  readonly what: string
}

/** Reads a range of a file, alone in its buffer; undefined when the file is gone. Throws `store-failed` when it is growing or shrinking. */
export async function readFileRange(
  session: SftpSession,
  { path, sizeBytes, range, what }: FileRead,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const bytes = Buffer.allocUnsafeSlow(range.length)
  if (range.length === 0) return alone(bytes)
  const handle = await unlessAbsent(session.openToRead(path, signal))
  if (handle === undefined) return undefined
  try {
    const [found] = await Promise.all([
      session.fstat(handle, signal),
      eachChunk(range.length, async (start, end) => {
        const into = bytes.subarray(start, end)
        const readBytes = await readFully(session, handle, { into, offset: range.offset + start, signal })
        if (readBytes < into.length) throw changed(what, sizeBytes, range.offset + start + readBytes)
      }),
    ])
    if (found.sizeBytes !== sizeBytes) throw changed(what, sizeBytes, found.sizeBytes)
    return alone(bytes)
  } finally {
    session.release(handle)
  }
}

/**
 * Writes a new file, and checks that it has become as long as it should; synced where the server can do that. The file is
 * given up when anything fails: what follows a failed sync proves nothing.
 */
export async function writeFile(
  session: SftpSession,
  { path, bytes, mode }: { readonly path: string; readonly bytes: Uint8Array; readonly mode: number },
  signal: AbortSignal,
): Promise<void> {
  const handle = await session.openNew(path, mode, signal)
  try {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    await eachChunk(view.length, async (start, end) => {
      signal.throwIfAborted()
      await session.write(handle, view.subarray(start, end), { offset: start, signal })
    })
    const [found] = await Promise.all([
      session.fstat(handle, signal),
      session.has('fsync@openssh.com') ? session.fsync(handle, signal) : undefined,
    ])
    if (found.sizeBytes !== view.length) {
      throw new SftpFault({
        found: `the server confirmed ${view.length} bytes and stored ${found.sizeBytes}`,
        hint: 'Look into the log of the server and of its system.',
      })
    }
  } catch (error) {
    session.release(handle)
    throw error
  }
  // Its answer counts: a network file system on the server may report here what it could not write.
  await session.close(handle, signal)
}

/** A refusal that has no status of its own, in better words when the file system of the store is full. */
export async function explainRefusal(
  session: SftpSession,
  { root, error }: { readonly root: string; readonly error: unknown },
  signal: AbortSignal,
): Promise<unknown> {
  if (!isPlainFailure(error) || !session.has('statvfs@openssh.com')) return error
  if (!(await session.isFull(root, signal))) return error
  return new SftpFault(
    {
      code: 'no-space',
      found: 'no space is left on the file system of the server',
      hint: 'Free space there, and run the command again.',
    },
    error,
  )
}

interface Filling {
  readonly into: Buffer
  readonly offset: number
  readonly signal: AbortSignal
}

/** Goes on after answers that brought less than was asked for. Gives how many bytes there were. */
async function readFully(session: SftpSession, handle: Handle, filling: Filling): Promise<number> {
  const { into, offset, signal } = filling
  let done = 0
  while (done < into.length) {
    const readBytes = await session.read(handle, into.subarray(done), { offset: offset + done, signal })
    if (readBytes === 0) return done
    done += readBytes
  }
  return done
}

function alone(buffer: Buffer<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  assert.equal(buffer.buffer.byteLength, buffer.length)
  return new Uint8Array(buffer.buffer)
}

function changed(what: string, expected: number, found: number): OperationError {
  return new OperationError(
    'store-failed',
    `reading ${what}: expected ${expected} bytes as a moment ago, found ${found}`,
    {
      hint: 'An object never changes: find out what else writes there, or look into the system log of the server.',
    },
  )
}

import { constants, type BigIntStats } from 'node:fs'
import {
  lstat,
  link,
  mkdir,
  open,
  readdir,
  rename,
  stat,
  unlink,
  chmod,
  type FileHandle,
} from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { getSystemErrorMessage } from 'node:util'
import { OperationError } from '../domain/operation-error.ts'
import { beginAtPage, pageBytes } from './page-memory.ts'
import { freshName } from './random.ts'

/** What to write where before it gets its name. */
export interface DurableWrite {
  /** Past the page cache when they are many and lie in memory of `allocatePages`. Must not change meanwhile. */
  readonly bytes: Uint8Array
  /** Exact permission bits, whatever the umask is. */
  readonly mode: number
  /** On the same file system as the final name; must not exist. Removed again, whatever happens short of a crash. */
  readonly temporaryPath: string
  readonly signal?: AbortSignal | undefined
}

/** Less is not worth opening the file twice. */
const leastDirectBytes = 256 * 1024

/** The last two from opening again, as the usual way never does: when they mean more than that, it says so too. */
const directRefusals = ['EINVAL', 'EOPNOTSUPP', 'ENOTSUP', 'EACCES', 'EPERM']

/** One write or read is at most this long, so that an abort is noticed and no thread is held for long. */
export const ioStepBytes = 8 * 1024 * 1024

/**
 * Creates the file `path` with these bytes, never overwriting: 'exists' when something has that name already. The file
 * appears complete or not at all, and is durable when this resolves; so is the name of a file that exists. The folder
 * must exist. Throws `no-space` or `file-unwritable`.
 *
 * Files get their name with link(2), the only way in Node that is atomic and never replaces. On a file system without
 * hard links this fails: opening the final name with O_EXCL would show a file that is partly written, and rename(2)
 * would replace one. Refusing is the only safe answer.
 */
export async function publishDurably(
  path: string,
  bytes: Uint8Array,
  mode: number,
): Promise<'created' | 'exists'> {
  try {
    await using folder = await openFolder(dirname(path))
    const temporaryPath = entryOf(folder, temporaryName())
    const answer = await publishInFolder(folder, basename(path), { bytes, mode, temporaryPath })
    await removeStaleTemporaries(folder)
    return answer
  } catch (error) {
    throw writeFailure(path, error)
  }
}

/**
 * Gives the file `path` these bytes, replacing what is there: a reader finds the old file or the new one, complete. The
 * new one is durable when this resolves. The folder must exist. Throws `no-space` or `file-unwritable`.
 */
export async function replaceDurably(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  try {
    await using folder = await openFolder(dirname(path))
    await using cleanup = new AsyncDisposableStack()
    const temporaryPath = entryOf(folder, temporaryName())
    await writeTemporary({ bytes, mode, temporaryPath }, cleanup)
    // Dying here leaves the old file, and the new one complete under a name that nobody looks for.
    await rename(temporaryPath, entryOf(folder, basename(path)))
    // Dying here leaves the old file or the new one; after a power loss too, for the new one's bytes are on disk.
    await folder.sync()
    await removeStaleTemporaries(folder)
  } catch (error) {
    throw writeFailure(path, error)
  }
}

/**
 * Creates the folder and the missing ones above it, each with exactly this mode and durable when this resolves. A folder
 * that exists stays as it is. Throws `no-space` or `file-unwritable`.
 */
export async function makeFolderDurably(path: string, mode: number): Promise<void> {
  try {
    await makeFolder(path, mode)
  } catch (error) {
    throw writeFailure(path, error)
  }
}

/**
 * Gives `write.bytes` the name `name` in an open folder, as `publishDurably` does, but throws the system's own errors:
 * EEXIST when the name belongs to something that is not a regular file, ENOENT when the folder was removed meanwhile.
 */
export async function publishInFolder(
  folder: FileHandle,
  name: string,
  write: DurableWrite,
): Promise<'created' | 'exists'> {
  await using cleanup = new AsyncDisposableStack()
  const written = await writeTemporary(write, cleanup)
  // Dying here leaves a complete file under its temporary name, which nobody reads.
  write.signal?.throwIfAborted()
  const answer = await linkUnlessTaken(write.temporaryPath, entryOf(folder, name), written)
  // Dying here leaves both names. The final one shows a complete file, but a power loss may still take the name. That is
  // why 'exists' waits for this too: whoever is told so may let go of its own copy, and the creator may not be here yet.
  // When it fails, the name stays: somebody else may have been told 'exists' and rely on it.
  await folder.sync()
  // Dying here leaves the temporary name as a second one of a published file: removing it later takes nothing away.
  return answer
}

/**
 * A path to an entry of an open folder that no symbolic link and no renamed parent can lead elsewhere: Linux resolves it
 * from the open folder, as openat(2) would, which Node does not have. Needs /proc.
 */
export function entryOf(folder: FileHandle, name: string): string {
  return `/proc/self/fd/${folder.fd}/${name}`
}

/** An error of the operating system, such as ENOENT. */
export function isSystemError(error: unknown): error is Error & { code: string; errno: number } {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    'errno' in error &&
    typeof error.errno === 'number'
  )
}

/** True for an error of the operating system with one of these codes. */
export function hasSystemCode(error: unknown, ...codes: readonly string[]): boolean {
  return isSystemError(error) && codes.includes(error.code)
}

/** The operating system's words and code, without the call and the path: `no space left on device (ENOSPC)`. */
export function describeSystemError(error: { readonly code: string; readonly errno: number }): string {
  return `${getSystemErrorMessage(error.errno)} (${error.code})`
}

/** Calls again when a signal interrupted the call before it did anything; gives up after 100 times. */
export async function retryInterrupted<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      if (attempt === 100 || !hasSystemCode(error, 'EINTR')) throw error
    }
  }
}

/** Writes, syncs and closes the temporary file; `cleanup` removes it. Closing comes before naming: NFS reports there. */
async function writeTemporary(write: DurableWrite, cleanup: AsyncDisposableStack): Promise<BigIntStats> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  await using file = await open(write.temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, write.mode)
  cleanup.defer(() => removeTemporary(write.temporaryPath))
  // Dying here, or anywhere before the file has its name, leaves a temporary file of any length.
  const created = await file.stat({ bigint: true })
  if (Number(created.mode & 0o7777n) !== write.mode) await file.chmod(write.mode)
  await writeFully(file, write, await writePastCache(file, write))
  // Once, and never again on this file: after a failed fsync the kernel may call lost pages clean (fsyncgate).
  await file.sync()
  return created
}

/**
 * Writes whole pages at the file's start past the page cache (O_DIRECT), from which nobody reads what a store is given: that
 * took a quarter of the CPU time of a full backup (November 2026). Gives how many bytes are written, 0 where the kernel,
 * the file system or the memory does not allow it: the others are to be written the usual way. Syncing stays necessary.
 */
async function writePastCache(file: FileHandle, { bytes, signal }: DurableWrite): Promise<number> {
  if (bytes.length < leastDirectBytes || !beginAtPage(bytes)) return 0
  const end = bytes.length - (bytes.length % pageBytes)
  let offset = 0
  try {
    // The same file, whatever has its name by now, once more: Node cannot change how an open one is written.
    await using direct = await open(`/proc/self/fd/${file.fd}`, constants.O_WRONLY | constants.O_DIRECT)
    // What was taken of a page that was cut short is where the usual way goes on.
    while (offset < end && offset % pageBytes === 0) {
      signal?.throwIfAborted()
      const start = offset
      const length = Math.min(ioStepBytes, end - start)
      const { bytesWritten } = await retryInterrupted(() => direct.write(bytes, start, length, start))
      if (bytesWritten === 0) break
      offset += bytesWritten
    }
  } catch (error) {
    if (!hasSystemCode(error, ...directRefusals)) throw error
  }
  return offset
}

/** Writes the bytes from `from` on; a write that took less than it was given goes on where it stopped. */
async function writeFully(file: FileHandle, { bytes, signal }: DurableWrite, from: number): Promise<void> {
  let offset = from
  while (offset < bytes.length) {
    signal?.throwIfAborted()
    const length = Math.min(ioStepBytes, bytes.length - offset)
    const { bytesWritten } = await retryInterrupted(() => file.write(bytes, offset, length, offset))
    if (bytesWritten === 0) throw new Error(`write of ${length} bytes at ${offset} took nothing`)
    offset += bytesWritten
  }
}

async function linkUnlessTaken(
  temporaryPath: string,
  path: string,
  written: BigIntStats,
): Promise<'created' | 'exists'> {
  try {
    await link(temporaryPath, path)
    return 'created'
  } catch (error) {
    if (!hasSystemCode(error, 'EEXIST')) throw error
    const found = await statIfPresent(path)
    // Removed since: it did exist, and the caller's bytes are not there.
    if (found === undefined) return 'exists'
    if (!found.isFile()) throw error
    // NFS may send the request twice and answer the second time, "exists", about our own link: open(2) under O_EXCL.
    return found.ino === written.ino && found.dev === written.dev ? 'created' : 'exists'
  }
}

async function statIfPresent(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true })
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return undefined
    throw error
  }
}

async function removeTemporary(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch {
    // A rename has moved it, or it stays as a file that nobody reads. What this write answers is true either way, and
    // this error must not hide the one that matters.
  }
}

/**
 * Removes what writers that died have left in the folder, by its age; a clock that jumps makes a writer fail at worst. The
 * folder was changed a moment ago, so that its own time is what the file system calls now.
 */
async function removeStaleTemporaries(folder: FileHandle): Promise<void> {
  try {
    const { mtimeMs: now } = await folder.stat()
    const names = await readdir(entryOf(folder, ''))
    for (const path of names.filter(isTemporaryName).map((name) => entryOf(folder, name))) {
      const { mtimeMs } = await lstat(path)
      if (mtimeMs < now - staleAfterMs) await unlink(path)
    }
  } catch {
    // The file of this call is durable; what stays is a file that nobody reads, and the next call tries again.
  }
}

async function makeFolder(path: string, mode: number): Promise<void> {
  if (await isFolder(path)) return
  const above = dirname(path)
  await makeFolder(above, mode)
  try {
    await mkdir(path, mode)
    await chmod(path, mode)
  } catch (error) {
    // Somebody else made it meanwhile; its name may not be durable yet, so go on.
    if (!hasSystemCode(error, 'EEXIST') || !(await isFolder(path))) throw error
  }
  // Dying here leaves an empty folder, or none after a power loss.
  await using folder = await openFolder(above)
  await folder.sync()
}

async function isFolder(path: string): Promise<boolean> {
  try {
    const found = await stat(path)
    return found.isDirectory()
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return false
    throw error
  }
}

function openFolder(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_DIRECTORY)
}

/** No file takes so long to write. */
const staleAfterMs = 24 * 60 * 60 * 1000

const temporaryName = (): string => `.holdfast-${freshName()}.tmp`
const isTemporaryName = (name: string): boolean => /^\.holdfast-[0-9a-f]{32}\.tmp$/.test(name)

/** What is thrown when a file cannot be written: `no-space` or `file-unwritable`; other errors as they are. */
export function writeFailure(path: string, error: unknown): unknown {
  if (!isSystemError(error)) return error
  const isFull = error.code === 'ENOSPC' || error.code === 'EDQUOT'
  return new OperationError(
    isFull ? 'no-space' : 'file-unwritable',
    `writing "${path}": ${describeSystemError(error)}`,
    {
      cause: error,
      hint: isFull
        ? 'Free space there, or raise the quota; then try again.'
        : 'Check that the folder exists, belongs to the user that runs Holdfast, and that its file system has hard links.',
    },
  )
}

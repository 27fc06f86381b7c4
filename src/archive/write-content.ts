import { constants } from 'node:fs'
import { open, readdir, rename, rm, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { randomBytes } from '../platform/random.ts'
import type { WalContent } from './read-wal-object.ts'

/**
 * Writes a content to a file of exactly this name: it appears complete, verified and synced, or not at all (R39). What
 * was there is replaced. The folder is not synced: a name that a power loss takes away is asked for again by recovery.
 */
export async function writeContent(content: WalContent, path: string, context: RunContext): Promise<void> {
  const suffix = Buffer.from(randomBytes(6)).toString('hex')
  const temporary = join(dirname(path), `${temporaryPrefix(path)}${suffix}`)
  await using cleanup = new AsyncDisposableStack()
  let isNamed = false
  const removeUnlessNamed = async (): Promise<void> => {
    // What stays is a file that nobody reads, and the failure that matters must not be hidden by this one.
    if (!isNamed) await rm(temporary, { force: true }).catch(() => undefined)
  }
  try {
    await using file = await open(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    )
    cleanup.defer(() => removeUnlessNamed())
    await writeChunks(file, { content, path }, context)
    await file.sync()
  } catch (error) {
    throw writeFailure(path, error)
  }
  context.signal.throwIfAborted()
  // Dying before this leaves a temporary file that neither PostgreSQL nor the shell looks at.
  await rename(temporary, path).catch((error: unknown) => {
    throw writeFailure(path, error)
  })
  isNamed = true
}

/**
 * Removes what writing to `path` left when it was killed. Only for a path that one process at a time writes to, as that
 * of a restore_command: PostgreSQL runs one and waits for it.
 */
export async function removeLeftovers(path: string): Promise<void> {
  const entries = await readdir(dirname(path))
  for (const entry of entries) {
    if (entry.startsWith(temporaryPrefix(path))) await rm(join(dirname(path), entry), { force: true })
  }
}

/** The name of the temporary file begins so while `path` is being written. */
export function temporaryPrefix(path: string): string {
  return `.holdfast-${basename(path)}.`
}

async function writeChunks(
  file: FileHandle,
  { content, path }: { readonly content: WalContent; readonly path: string },
  context: RunContext,
): Promise<void> {
  let written = 0
  for await (const bytes of content.chunks) {
    context.signal.throwIfAborted()
    await writeFully(file, bytes)
    written += bytes.length
  }
  if (written === content.sizeBytes) return
  throw new OperationError(
    'damaged',
    `writing "${path}": expected ${content.sizeBytes} bytes, found ${written}`,
  )
}

async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let offset = 0
  while (offset < bytes.length) {
    const { bytesWritten } = await file.write(bytes, offset, bytes.length - offset)
    if (bytesWritten === 0) throw new Error(`writing ${bytes.length - offset} bytes took none`)
    offset += bytesWritten
  }
}

function writeFailure(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || error instanceof OperationError) return error
  const isFull = error.code === 'ENOSPC' || error.code === 'EDQUOT'
  return new OperationError(isFull ? 'no-space' : 'file-unwritable', `writing "${path}": ${error.message}`, {
    cause: error,
    hint: 'Check that the folder exists, has space and belongs to the user that runs the server.',
  })
}

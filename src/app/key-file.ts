import { access, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import {
  describeSystemError,
  hasSystemCode,
  isSystemError,
  makeFolderDurably,
  publishDurably,
} from '../platform/durable-file.ts'
import { randomBytes } from '../platform/random.ts'

/** Makes a key file of 32 random bytes for its owner only, unless something is there. Durable when this resolves. */
export async function makeKeyFile(path: string): Promise<'created' | 'exists'> {
  await makeFolderDurably(dirname(path), 0o700)
  if (await isKeyFileThere(path)) return 'exists'
  const text = `${Buffer.from(randomBytes(32)).toString('hex')}\n`
  return publishDurably(path, Buffer.from(text), 0o600)
}

/** True when the path has something, whatever that is. */
export async function isKeyFileThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT', 'ENOTDIR')) return false
    throw error
  }
}

/**
 * Makes a secret's file and its name durable, whoever wrote it: a repository that is locked with what a power loss takes
 * away can never be read again. To be called before anything is locked with it. Throws `file-unwritable`.
 */
export async function syncSecretFile(path: string): Promise<void> {
  for (const each of [path, dirname(path)]) {
    try {
      await using opened = await open(each)
      await opened.sync()
    } catch (cause) {
      if (!isSystemError(cause)) throw cause
      // It cannot be synced, as on a read-only file system: then nothing of it waits to be written.
      if (cause.code === 'EINVAL' || cause.code === 'EROFS') continue
      throw unsynced(path, each, cause)
    }
  }
}

function unsynced(
  secret: string,
  path: string,
  cause: Error & { code: string; errno: number },
): OperationError {
  return new OperationError(
    'file-unwritable',
    `making sure that the secret ${quote(secret)} is on disk: syncing ${quote(path)}: ${describeSystemError(cause)}`,
    {
      cause,
      hint: 'Nothing was locked with it; put it where this user can read the file and its folder, on a disk that works.',
    },
  )
}

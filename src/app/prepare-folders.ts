import { chmod, lchown, lstat, mkdir, readdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { hasSystemCode, isSystemError, describeSystemError } from '../platform/durable-file.ts'
import type { UnixUser } from '../platform/unix-user.ts'

/**
 * Makes folders that a user needs and could not make, and gives them to that user: called as root, before root is given
 * up. What is missing above them belongs to root and can be passed. A folder that is there is left as it is, unless it is
 * root's and empty.
 */
export async function prepareFolders(folders: readonly string[], user: UnixUser): Promise<void> {
  for (const folder of folders) {
    try {
      await prepareFolder(folder, user)
    } catch (cause) {
      if (!isSystemError(cause)) throw cause
      throw new OperationError(
        'file-unwritable',
        `making the folder "${folder}": ${describeSystemError(cause)}`,
        {
          cause,
          hint: 'Name a place that can be written to.',
        },
      )
    }
  }
}

async function prepareFolder(folder: string, { uid, gid }: UnixUser): Promise<void> {
  if (await exists(folder)) {
    if (await isRootsAndEmpty(folder)) await lchown(folder, uid, gid)
    return
  }
  await makeAbove(dirname(folder))
  await mkdir(folder, 0o700)
  await lchown(folder, uid, gid)
}

async function makeAbove(folder: string): Promise<void> {
  if (await exists(folder)) return
  await makeAbove(dirname(folder))
  await mkdir(folder, 0o755)
  await chmod(folder, 0o755) // whatever the umask is
}

async function isRootsAndEmpty(folder: string): Promise<boolean> {
  const found = await lstat(folder)
  return found.isDirectory() && found.uid === 0 && (await readdir(folder)).length === 0
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return false
    throw error
  }
}

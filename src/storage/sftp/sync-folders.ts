import { SftpStatus } from './sftp-fault.ts'
import type { Handle, SftpSession } from './sftp-session.ts'

/** The root and the folders of a key below it, the deepest last. */
export function foldersOfKey(root: string, folders: readonly string[]): string[] {
  return [root, ...folders.map((_, index) => `${root}/${folders.slice(0, index + 1).join('/')}`)]
}

/**
 * Makes the names in these folders durable, in two round trips, where the server can: OpenSSH opens a folder as if it were a
 * file and syncs it. False where it cannot; nothing more can be done over SFTP then. Folders that are gone need no sync.
 */
export async function syncFolders(
  session: SftpSession,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  if (!session.has('fsync@openssh.com')) return false
  const answers = await Promise.all(paths.map((path) => syncFolder(session, path, signal)))
  return answers.every(Boolean)
}

async function syncFolder(session: SftpSession, path: string, signal: AbortSignal): Promise<boolean> {
  const handle = await openIfPossible(session, path, signal)
  if (handle === undefined) return false
  try {
    await session.fsync(handle, signal)
    return true
  } finally {
    session.release(handle)
  }
}

/** Servers that do not open folders say so in different ways. */
async function openIfPossible(
  session: SftpSession,
  path: string,
  signal: AbortSignal,
): Promise<Handle | undefined> {
  try {
    return await session.openToRead(path, signal)
  } catch (error) {
    if (error instanceof SftpStatus) return undefined
    throw error
  }
}

import { eachInFlight } from '../../platform/in-flight.ts'
import { lookUp } from './look-up.ts'
import { isAbsence, isPlainFailure, SftpStatus } from './sftp-fault.ts'
import type { SftpSession } from './sftp-session.ts'
import { foldersOfKey, syncFolders } from './sync-folders.ts'

/** Objects of one folder. */
export interface FolderDeletion {
  readonly root: string
  readonly folders: readonly string[]
  readonly names: readonly string[]
}

/** How many removals are under way at once. */
const removalsInFlight = 64

/** The keys, by the folder that they are in. */
export function groupByFolder(keys: readonly string[]): ReadonlyMap<string, readonly string[]> {
  return Map.groupBy(keys, (key) => key.slice(0, Math.max(0, key.lastIndexOf('/'))))
}

/**
 * Removes objects of one folder, and the folders that become empty. Also syncs when nothing was there to delete: somebody
 * else's deletion may not be durable yet. Dying here leaves objects whole or removed; a power loss may bring some back.
 */
export async function deleteFromFolder(
  session: SftpSession,
  { root, folders, names }: FolderDeletion,
  signal: AbortSignal,
): Promise<void> {
  const { folderCount } = await lookUp(session, { root, key: [...folders, '-'].join('/') }, signal)
  const paths = foldersOfKey(root, folders.slice(0, folderCount))
  const last = paths.at(-1) ?? root
  if (folderCount === folders.length) {
    await eachInFlight(names.length, removalsInFlight, async (index) => {
      signal.throwIfAborted()
      await removeObject(session, `${last}/${names[index]}`, signal)
    })
  }
  await syncFolders(session, [last], signal)
  if (folderCount === folders.length) await prune(session, paths, signal)
}

/** A folder of this name is no object. A link of this name is removed itself, and not what it points to. */
async function removeObject(session: SftpSession, path: string, signal: AbortSignal): Promise<void> {
  try {
    await session.unlink(path, signal)
  } catch (error) {
    if (isAbsence(error)) return
    if (!isPlainFailure(error)) throw error
    const found = await session.lstat(path, signal)
    if (found !== undefined && found.kind !== 'folder') throw error
  }
}

/** Removes the folders that are empty, from the last one up to the root, which stays. */
async function prune(session: SftpSession, paths: readonly string[], signal: AbortSignal): Promise<void> {
  for (let depth = paths.length - 1; depth > 0; depth--) {
    signal.throwIfAborted()
    if (!(await removeIfEmpty(session, paths[depth] ?? '', signal))) return
    await syncFolders(session, paths.slice(depth - 1, depth), signal)
  }
}

/** SFTP has no word for "not empty"; a folder that stays is no harm. */
async function removeIfEmpty(session: SftpSession, path: string, signal: AbortSignal): Promise<boolean> {
  try {
    await session.removeFolder(path, signal)
    return true
  } catch (error) {
    if (error instanceof SftpStatus) return false
    throw error
  }
}

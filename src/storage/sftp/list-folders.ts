import { isKeySegment, isObjectKey } from '../object-key.ts'
import type { ListedObject } from '../object-store.ts'
import { unsafeEntry } from '../posix/folder-chain.ts'
import { eachInFlight } from '../../platform/in-flight.ts'
import { lookUp } from './look-up.ts'
import { unlessAbsent } from './sftp-fault.ts'
import type { FolderEntry, SftpSession } from './sftp-session.ts'

/** Which entries of a folder to list. */
export interface Listing {
  /** What stands before an entry's name in its key: empty, or the folder's path and a slash. */
  readonly base: string
  /** How the names begin. */
  readonly beginning: string
}

/** Reads one folder, in the order of the keys. */
type ReadFolder = (listing: Listing) => Promise<readonly FolderEntry[]>

/**
 * The objects of a folder and those below it, in the order of their keys. Holds the names of one folder per level, so
 * memory is bounded by the largest folder, not by the store.
 */
export async function* listFolders(listing: Listing, readFolder: ReadFolder): AsyncGenerator<ListedObject> {
  for (const { name, kind, sizeBytes, modifiedAtS } of await readFolder(listing)) {
    const key = listing.base + name
    if (kind === 'folder') yield* listFolders({ base: `${key}/`, beginning: '' }, readFolder)
    else yield { key, sizeBytes, modifiedAtMs: modifiedAtS * 1000 }
  }
}

/**
 * The entries of one folder that are or hold objects. Names that cannot be in a key are not ours and are passed over; links
 * and special files with names that could are `path-unsafe`, because passing them over would call absent what is only out of
 * reach. Empty when there is no such folder in a store that is there.
 */
export async function readFolderOf(
  session: SftpSession,
  { root, base, beginning }: Listing & { readonly root: string },
  signal: AbortSignal,
): Promise<readonly FolderEntry[]> {
  const key = base.slice(0, -1)
  await lookUp(session, { root, key }, signal)
  const path = key === '' ? root : `${root}/${key}`
  const found = await readEntries(session, path, signal)
  const wanted = found.filter((entry) => {
    const name = nameOf(entry)
    return name.startsWith(beginning) && isKeySegment(name) && isObjectKey(base + name)
  })
  return inOrder(await complete(session, { path, entries: wanted }, signal))
}

/** Every entry of a folder. */
export async function readEntries(
  session: SftpSession,
  path: string,
  signal: AbortSignal,
): Promise<readonly (FolderEntry | string)[]> {
  const handle = await unlessAbsent(session.openFolder(path, signal))
  if (handle === undefined) return []
  const entries: (FolderEntry | string)[] = []
  try {
    for (;;) {
      const some = await session.readFolder(handle, signal)
      if (some.length === 0) return entries
      entries.push(...some)
    }
  } finally {
    session.release(handle)
  }
}

/** Asks for what a server does not tell of the entries of a folder. One that is gone since is left out. */
export async function complete(
  session: SftpSession,
  { path, entries }: { readonly path: string; readonly entries: readonly (FolderEntry | string)[] },
  signal: AbortSignal,
): Promise<readonly FolderEntry[]> {
  const completed: FolderEntry[] = entries.filter((entry) => typeof entry !== 'string')
  const names = entries.filter((entry) => typeof entry === 'string')
  await eachInFlight(names.length, 64, async (index) => {
    const name = names[index] ?? ''
    const attributes = await session.lstat(`${path}/${name}`, signal)
    if (attributes !== undefined) completed.push({ name, ...attributes })
  })
  return completed
}

export function nameOf(entry: FolderEntry | string): string {
  return typeof entry === 'string' ? entry : entry.name
}

/** Sorted as keys are: a folder's name counts with the slash that follows it, so `a-b` comes before `a/b`. */
function inOrder(entries: readonly FolderEntry[]): readonly FolderEntry[] {
  const link = entries.find(({ kind }) => kind === 'other')
  if (link !== undefined) throw unsafeEntry(link.name, 'a folder or a regular file')
  return entries
    .map((entry) => ({ entry, order: entry.kind === 'folder' ? `${entry.name}/` : entry.name }))
    .toSorted((one, other) => (one.order < other.order ? -1 : 1))
    .map(({ entry }) => entry)
}

import { OperationError } from '../../domain/operation-error.ts'
import { unsafeEntry } from '../posix/folder-chain.ts'
import { markerName } from '../posix/store-root.ts'
import type { EntryAttributes, SftpSession } from './sftp-session.ts'

/** What is at the place of a key. */
export interface LookedUp {
  /** Undefined: no object. */
  readonly object: EntryAttributes | undefined
  /** How many of the folders above it are there. */
  readonly folderCount: number
}

/**
 * Looks at the root's marker, at every folder of the key and at the object, all in one round trip. Throws `store-unreachable`
 * when the marker is not there: then the root is not the store, and nothing says that an object is absent. Throws
 * `path-unsafe` for a link or special file.
 *
 * SFTP cannot open an entry of an open folder, so this is a check and no lock: who may write to the folders of a repository on
 * the server can still put a link there between the check and the use.
 */
export async function lookUp(
  session: SftpSession,
  { root, key }: { readonly root: string; readonly key: string },
  signal: AbortSignal,
): Promise<LookedUp> {
  const names = key === '' ? [] : key.split('/')
  const paths = names.map((_, index) => `${root}/${names.slice(0, index + 1).join('/')}`)
  const [marker, ...found] = await Promise.all(
    [`${root}/${markerName}`, ...paths].map((path) => session.lstat(path, signal)),
  )
  if (marker === undefined) throw withoutMarker(root)
  // What lies behind a link is not trusted: its attributes are of another place.
  const end = found.findIndex((entry) => entry?.kind !== 'folder')
  if (end < 0) return { object: undefined, folderCount: Math.max(0, names.length - 1) }
  const entry = found[end]
  if (entry?.kind === 'other') throw unsafeEntry(names[end] ?? '', 'a regular file or a folder')
  return { object: end === names.length - 1 ? entry : undefined, folderCount: end }
}

export function withoutMarker(root: string): OperationError {
  return new OperationError(
    'store-unreachable',
    `opening the store in "${root}" on the server: expected a directory with the file "${markerName}", found none`,
    { hint: 'Mount the disk that holds it on the server, or create the repository with "holdfast init".' },
  )
}

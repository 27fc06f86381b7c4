import type { Dirent } from 'node:fs'
import { readdir, type FileHandle } from 'node:fs/promises'
import { entryOf } from '../../platform/durable-file.ts'
import { isKeySegment, isObjectKey } from '../object-key.ts'
import type { ListedObject } from '../object-store.ts'
import { openSubfolder, statObject, unsafeEntry } from './folder-chain.ts'

/** Which entries of an open folder to list. */
interface Listing {
  readonly folder: FileHandle
  /** What stands before an entry's name in its key: empty, or the folder's path and a slash. */
  readonly base: string
  /** How the names begin. */
  readonly beginning: string
  readonly signal: AbortSignal | undefined
}

/** So many files are looked at at a time: enough to keep the pool's threads busy. */
const batchLength = 64

/**
 * The objects of a folder and those below it, in the order of their keys. Holds the names of one folder per level, so
 * memory is bounded by the largest folder, not by the store. Names that cannot be in a key are not ours and are passed
 * over (`lost+found`, `.snapshot`); links and special files with names that could are an error, because passing them
 * over would call absent what is only out of reach.
 */
export async function* listFolder(listing: Listing): AsyncGenerator<ListedObject> {
  const { folder, base, signal } = listing
  const entries = await entriesToList(listing)
  for (let start = 0; start < entries.length; start += batchLength) {
    signal?.throwIfAborted()
    const batch = entries.slice(start, start + batchLength)
    const found = await Promise.all(batch.map((entry) => attributesOf(folder, entry)))
    for (const [index, { name, isFolder }] of batch.entries()) {
      if (isFolder) yield* listSubfolder(listing, name)
      const attributes = found[index]
      if (attributes !== undefined) yield { key: base + name, ...attributes }
    }
  }
}

interface Entry {
  readonly name: string
  readonly isFolder: boolean
}

/** Sorted as keys are: a folder's name counts with the slash that follows it, so `a-b` comes before `a/b`. */
async function entriesToList({ folder, base, beginning }: Listing): Promise<Entry[]> {
  const found = await readdir(entryOf(folder, ''), { withFileTypes: true })
  return found
    .filter(({ name }) => name.startsWith(beginning) && isKeySegment(name) && isObjectKey(base + name))
    .map(toEntry)
    .map((entry) => ({ entry, order: entry.isFolder ? `${entry.name}/` : entry.name }))
    .toSorted((one, other) => (one.order < other.order ? -1 : 1))
    .map(({ entry }) => entry)
}

function toEntry(entry: Dirent): Entry {
  const isFolder = entry.isDirectory()
  if (!isFolder && !entry.isFile()) throw unsafeEntry(entry.name, 'a folder or a regular file')
  return { name: entry.name, isFolder }
}

async function attributesOf(
  folder: FileHandle,
  { name, isFolder }: Entry,
): Promise<Omit<ListedObject, 'key'> | undefined> {
  return isFolder ? undefined : statObject(folder, name)
}

async function* listSubfolder({ folder, base, signal }: Listing, name: string): AsyncGenerator<ListedObject> {
  await using subfolder = await openSubfolder(folder, name)
  if (subfolder === undefined) return
  yield* listFolder({ folder: subfolder, base: `${base}${name}/`, beginning: '', signal })
}

import { constants } from 'node:fs'
import { lstat, open, readFile, readdir, type FileHandle } from 'node:fs/promises'
import { OperationError } from '../../domain/operation-error.ts'
import { entryOf, hasSystemCode } from '../../platform/durable-file.ts'

/** The file in the root that says that this is a store. Its name cannot be a key. */
export const markerName = '.holdfast-store'

/** The folder in the root for files that have no name yet. Its name cannot be a key, so nothing in it can be an object. */
export const temporaryFolderName = '.tmp'

export const marker = 'holdfast object store, layout 1\n'

/**
 * Opens the root, and makes sure that it is one. The marker is asked for at every call: when the disk is not mounted, what
 * is left is an empty directory or none, and neither must look like a store without objects.
 */
export async function openRoot(path: string): Promise<FileHandle> {
  await using opened = new AsyncDisposableStack()
  try {
    const root = opened.use(await open(path, constants.O_RDONLY | constants.O_DIRECTORY))
    await lstat(entryOf(root, markerName))
    opened.move()
    return root
  } catch (error) {
    if (!hasSystemCode(error, 'ENOENT', 'ENOTDIR')) throw error
    throw new OperationError(
      'store-unreachable',
      `opening the store "${path}": expected a directory with the file "${markerName}", found none`,
      { cause: error, hint: 'Mount the disk that holds it, or create the repository with "holdfast init".' },
    )
  }
}

/** Throws when the store is of a layout that this version does not know. */
export async function checkLayout(path: string): Promise<void> {
  await using root = await openRoot(path)
  await using file = await open(entryOf(root, markerName), constants.O_RDONLY | constants.O_NOFOLLOW)
  const found = await readFile(file, 'utf8')
  if (found === marker) return
  throw new OperationError(
    'format-newer',
    `opening the store "${path}": expected its file "${markerName}" to say "${marker.trim()}", found "${found.slice(0, 80).trim()}"`,
    { hint: 'Use a version of Holdfast that knows this layout.' },
  )
}

/** Throws `repository-foreign` when a directory without marker holds anything but what an unfinished creation leaves. */
export async function checkFreeForStore(path: string): Promise<void> {
  const names = await readdir(path)
  if (names.includes(markerName)) return
  const foreign = names.find((name) => name !== temporaryFolderName && name !== 'lost+found')
  if (foreign === undefined) return
  throw new OperationError(
    'repository-foreign',
    `creating a store in "${path}": expected an empty directory, found "${foreign}"`,
    { hint: 'Name an empty directory, or one that does not exist yet.' },
  )
}

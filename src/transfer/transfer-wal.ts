import { copyArchivedFile } from '../archive/copy-archived-file.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import { parseWalObjectKey, type WalObject } from '../archive/wal-object-key.ts'
import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import type { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { walPrefix } from '../repository/object-keys.ts'
import type { TransferPlaces } from './transfer-places.ts'

/** What could not be copied, a backup or an archived file, and why. */
export interface FailedCopy {
  readonly subject: string
  readonly error: OperationError
}

export interface CopiedWal {
  readonly count: number
  readonly bytes: number
}

/**
 * The archived files that the other repository lacks and `isNeeded` wants, in the order of their keys, found by walking both
 * archives at once: there may be a million. A name that has more contents here than there is wanted with all of them.
 */
export async function* findMissingWal(
  isNeeded: (name: ArchiveFileName) => boolean,
  { from, to }: TransferPlaces,
  context: RunContext,
): AsyncGenerator<WalObject, void> {
  await using there = archivedFiles(to, context)
  let other = await there.next()
  for await (const file of archivedFiles(from, context)) {
    while (other.done !== true && other.value.order < file.order) other = await there.next()
    const known = other.done !== true && other.value.order === file.order ? other.value.contents.length : 0
    if (file.contents.length > known && isNeeded(file.name)) yield* file.contents
  }
}

/**
 * Copies these files, but for those that cannot be read here. When it fails, or is killed, those that were copied stay, and
 * the next time goes on behind them.
 */
export async function transferWal(
  objects: AsyncIterable<WalObject>,
  places: TransferPlaces,
  context: RunContext,
): Promise<CopiedWal & { readonly failures: readonly FailedCopy[] }> {
  const [failures, copied]: [FailedCopy[], { count: number; bytes: number }] = [[], { count: 0, bytes: 0 }]
  for await (const object of objects) {
    try {
      copied.bytes += await copyArchivedFile(object, places, context)
      copied.count += 1
    } catch (error) {
      if (!isAboutObject(error)) throw error
      failures.push({ subject: object.name.name, error })
    }
  }
  return { ...copied, failures }
}

interface ArchivedFile {
  /** By which both archives list their files. */
  readonly order: string
  readonly name: ArchiveFileName
  readonly contents: readonly WalObject[]
}

async function* archivedFiles(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): AsyncGenerator<ArchivedFile, void> {
  const folder = walPrefix(cluster.id)
  let open: (ArchivedFile & { readonly contents: WalObject[] }) | undefined
  for await (const { key } of repository.store.list(folder, context)) {
    const object = parseWalObjectKey(cluster.id, key)
    if (object?.part !== 0) continue
    const order = key.slice(folder.length, key.lastIndexOf('-'))
    if (open?.order === order) {
      open.contents.push(object)
      continue
    }
    if (open !== undefined) yield open
    open = { order, name: object.name, contents: [object] }
  }
  if (open !== undefined) yield open
}

import { copyArchivedFile } from '../archive/copy-archived-file.ts'
import { parseWalObjectKey, type WalObject } from '../archive/wal-object-key.ts'
import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { isOperationError, type OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { walPrefix } from '../repository/object-keys.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
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
 * The archived files that the other repository lacks and `isNeeded` wants, in the order of their keys. A name that has more
 * contents here than there is wanted with all of them: digests of two repositories cannot be compared.
 */
export async function findMissingWal(
  isNeeded: (name: ArchiveFileName) => boolean,
  { from, to }: TransferPlaces,
  context: RunContext,
): Promise<readonly WalObject[]> {
  const there = new Map<string, number>()
  for await (const { name } of archivedFiles(to, context)) there.set(name.name, countOf(there, name) + 1)
  const here = new Map<string, number>()
  const needed: WalObject[] = []
  for await (const object of archivedFiles(from, context)) {
    if (!isNeeded(object.name)) continue
    here.set(object.name.name, countOf(here, object.name) + 1)
    needed.push(object)
  }
  return needed.filter(({ name }) => countOf(here, name) > countOf(there, name))
}

/**
 * Copies these files, but for those that cannot be read here. When it fails, or is killed, those that were copied stay, and
 * the next time goes on behind them.
 */
export async function transferWal(
  objects: readonly WalObject[],
  places: TransferPlaces,
  context: RunContext,
): Promise<CopiedWal & { readonly failures: readonly FailedCopy[] }> {
  const [failures, copied]: [FailedCopy[], { count: number; bytes: number }] = [[], { count: 0, bytes: 0 }]
  for (const [index, object] of objects.entries()) {
    try {
      copied.bytes += await copyArchivedFile(object, places, context)
      copied.count += 1
    } catch (error) {
      if (!isOperationError(error, 'damaged')) throw error
      failures.push({ subject: object.name.name, error })
    }
    context.report({
      kind: 'progress',
      phase: 'WAL',
      done: index + 1,
      total: objects.length,
      unit: 'files',
    })
  }
  return { ...copied, failures }
}

async function* archivedFiles(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): AsyncGenerator<WalObject, void> {
  for await (const { key } of repository.store.list(walPrefix(cluster.id), context)) {
    const object = parseWalObjectKey(cluster.id, key)
    if (object?.part === 0) yield object
  }
}

const countOf = (counts: ReadonlyMap<string, number>, { name }: ArchiveFileName): number =>
  counts.get(name) ?? 0

import { listContents } from '../archive/archived-contents.ts'
import { copyArchivedFile, proveArchivedFile } from '../archive/copy-archived-file.ts'
import { parseWalIndexKey } from '../archive/wal-index-key.ts'
import { archivedNamePrefix, parseWalObjectKey, type WalObject } from '../archive/wal-object-key.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { parseNameListKey } from '../repository/name-list-key.ts'
import type { RepairTools } from './repair-tools.ts'
import type { FailedCopy } from './transfer-wal.ts'

/**
 * Puts good copies in the place of damaged archived files, each proven before the damaged one is deleted. Indexes and lists of
 * names are deleted only: what is copied next makes them anew. What cannot be replaced stays, and is told.
 */
export async function replaceWal(
  damagedKeys: readonly string[],
  tools: RepairTools,
  context: RunContext,
): Promise<{ readonly count: number; readonly failures: readonly FailedCopy[] }> {
  const { to } = tools
  const failures: FailedCopy[] = []
  const files = new Map<string, WalObject>()
  for (const key of damagedKeys) {
    const object = parseWalObjectKey(to.cluster.id, key)
    if (object !== undefined) files.set(`${object.name.name}-${object.digest}`, object)
  }
  let count = 0
  for (const object of files.values()) {
    try {
      await replaceFile(object, tools, context)
      count += 1
    } catch (error) {
      if (!isOperationError(error) || !['damaged', 'not-found'].includes(error.code)) throw error
      failures.push({ subject: object.name.name, error })
    }
  }
  const remade = damagedKeys.filter(
    (key) =>
      parseWalIndexKey(to.cluster.id, key) !== undefined ||
      parseNameListKey(to.cluster.id, key) !== undefined,
  )
  await tools.confirm()
  await to.repository.store.delete(remade, context)
  return { count: count + remade.length, failures }
}

async function replaceFile(
  damaged: WalObject,
  { from, to, confirm }: RepairTools,
  context: RunContext,
): Promise<void> {
  const digests = await listContents(damaged.name, from, context)
  if (digests.length === 0) {
    throw new OperationError(
      'not-found',
      `replacing ${damaged.name.name}: it is not in "${from.repository.store.location}" either`,
      { hint: 'Recovery cannot pass it: take a new backup.' },
    )
  }
  const good = digests.map((digest) => ({ name: damaged.name, digest, part: 0 }))
  for (const object of good) await proveArchivedFile(object, from, context)
  await confirm()
  // Dying here leaves a file missing that was damaged: the next copying brings it.
  await to.repository.store.delete(await keysOf(damaged, to, context), context)
  for (const object of good) await copyArchivedFile(object, { from, to }, context)
}

/** All parts, the one that makes it archived first. */
async function keysOf(
  { name, digest }: WalObject,
  { repository, cluster }: RepairTools['to'],
  context: RunContext,
): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of repository.store.list(archivedNamePrefix(cluster.id, name), context)) {
    if (parseWalObjectKey(cluster.id, key)?.digest === digest) keys.push(key)
  }
  return keys
}

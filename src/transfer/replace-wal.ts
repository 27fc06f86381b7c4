import { listContents } from '../archive/archived-contents.ts'
import { copyArchivedFile, digestArchivedFile } from '../archive/copy-archived-file.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import { parseWalIndexKey } from '../archive/wal-index-key.ts'
import { archivedNamePrefix, parseWalObjectKey, type WalObject } from '../archive/wal-object-key.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { nameListKey, parseNameListKey } from '../repository/name-list-key.ts'
import type { RepairTools } from './repair-tools.ts'
import type { TransferPlaces } from './transfer-places.ts'
import type { FailedCopy } from './transfer-wal.ts'

/**
 * Puts good copies in the place of damaged archived files, each proven before the damaged one is deleted. Damaged indexes are made
 * anew of their segments; lists of names are deleted, and copied with what is lacking. What cannot be replaced stays, and is told.
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
      if (await replaceFile(object, tools, context)) count += 1
    } catch (error) {
      if (!isAboutObject(error) && !isOperationError(error, 'not-found')) throw error
      failures.push({ subject: object.name.name, error })
    }
  }
  const remade = await remakeIndexes(damagedKeys, tools, context)
  return { count: count + remade + (await removeLists(damagedKeys, tools, context)), failures }
}

/** Of the segments that are there. One that is not there has no index. */
async function remakeIndexes(
  damagedKeys: readonly string[],
  { to, confirm }: RepairTools,
  context: RunContext,
): Promise<number> {
  let count = 0
  for (const key of damagedKeys) {
    const index = parseWalIndexKey(to.cluster.id, key)
    if (index === undefined) continue
    await confirm()
    await to.repository.store.delete([key], context)
    count += 1
    try {
      await copyArchivedFile({ ...index, part: 0 }, { from: to, to }, context)
    } catch (error) {
      if (!isAboutObject(error)) throw error
    }
  }
  return count
}

/** Lists of names that the other repository has. They are copied with what is lacking. */
async function removeLists(
  damagedKeys: readonly string[],
  { from, to, confirm }: RepairTools,
  context: RunContext,
): Promise<number> {
  let count = 0
  for (const key of damagedKeys) {
    const moment = parseNameListKey(to.cluster.id, key)
    if (moment === undefined) continue
    const other = nameListKey(from.cluster.id, moment)
    if ((await from.repository.store.head(other, context)) === undefined) continue
    await confirm()
    await to.repository.store.delete([key], context)
    count += 1
  }
  return count
}

/** What is good by now, because it was repaired since verify looked, is left alone. */
async function replaceFile(
  damaged: WalObject,
  { from, to, confirm }: RepairTools,
  context: RunContext,
): Promise<boolean> {
  if (await isGood(damaged, to, context)) return false
  const { name } = damaged
  const good = await findSame(damaged, { from, to }, context)
  if (good === undefined) {
    throw new OperationError(
      'not-found',
      `replacing ${name.name}: "${from.repository.store.location}" does not have this content of it either`,
      { hint: 'Recovery cannot pass it: take a new backup.' },
    )
  }
  await confirm()
  // Dying here leaves a file missing that was damaged: the next copying brings it.
  await to.repository.store.delete(await keysOf(damaged, to, context), context)
  await copyArchivedFile(good, { from, to }, context)
  return true
}

async function isGood(object: WalObject, place: RepairTools['to'], context: RunContext): Promise<boolean> {
  const { namesKey } = place.repository.keys
  try {
    return (await digestArchivedFile(object, { place, namesKey }, context)) === object.digest
  } catch (error) {
    if (isAboutObject(error)) return false
    throw error
  }
}

/** The very content, read whole: its name there says what it must be. */
async function findSame(
  { name, digest }: WalObject,
  { from, to }: TransferPlaces,
  context: RunContext,
): Promise<WalObject | undefined> {
  const { namesKey } = to.repository.keys
  for (const candidate of await listContents(name, from, context)) {
    const object = { name, digest: candidate, part: 0 }
    if ((await digestArchivedFile(object, { place: from, namesKey }, context)) === digest) return object
  }
  return undefined
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

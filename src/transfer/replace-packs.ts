import { isAboutObject } from '../archive/object-trouble.ts'
import { equalBytes } from '../codec/digest.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ManifestHead, PackReference } from '../repository/manifest-head.ts'
import { packFolder, packKey } from '../repository/object-keys.ts'
import { PackReader } from '../repository/pack-reader.ts'
import { findCommon, packId, readHeadIfGood, type PackIdentity } from './known-packs.ts'
import type { RepairTools } from './repair-tools.ts'
import { resealForTarget, storedAs } from './transfer-packs.ts'
import type { FailedCopy } from './transfer-wal.ts'

/** Packs that were replaced, by label and number: how the manifests of the repository are to mean them from now on. */
export type ReplacedPacks = ReadonlyMap<string, PackIdentity>

/**
 * Puts a good copy in the place of each damaged pack, whole before the damaged one is deleted. It has another tag: until the
 * manifests that mean it are revised, they cannot be restored from. What is good by now is left alone; what cannot be replaced
 * stays, and is told.
 */
export async function replacePacks(
  damagedKeys: readonly string[],
  tools: RepairTools,
  context: RunContext,
): Promise<{ readonly replaced: ReplacedPacks; readonly failures: readonly FailedCopy[] }> {
  const replaced = new Map<string, PackIdentity>()
  const failures: FailedCopy[] = []
  const wanted = new Map(damagedKeys.flatMap((key) => entryOf(key, tools)))
  if (wanted.size === 0) return { replaced, failures }
  const pairs = await findPairs(wanted, tools, context)
  for (const [id, key] of wanted) {
    const pair = pairs.get(id)
    if (pair === undefined) {
      failures.push({ subject: key, error: notThere(key, tools) })
      continue
    }
    try {
      if (await isGood(key, pair, { tools, context })) continue
      const identity = await replacePack(pair.reference, tools, context)
      replaced.set(id, identity)
      tools.known.put(pair.reference, identity)
    } catch (error) {
      if (!isAboutObject(error)) throw error
      failures.push({ subject: key, error })
    }
  }
  return { replaced, failures }
}

/** Nothing for a key that is not of a pack. */
function entryOf(key: string, { to }: RepairTools): readonly (readonly [string, string])[] {
  const folder = packFolder(to.cluster.id)
  const [, label = '', number = ''] =
    (key.startsWith(folder) && /^(\d{8}-\d{6}[A-Z])\/(\d{6,15})$/.exec(key.slice(folder.length))) || []
  return label === '' ? [] : [[`${label}/${Number(number)}`, key]]
}

interface PackPair {
  /** How the manifest of the good repository means it. */
  readonly reference: PackReference
  /** How the damaged repository's does; undefined when that manifest is damaged too. */
  readonly tag: Uint8Array | undefined
}

/**
 * Of the packs that are wanted, those that belong to a backup which both repositories list, and whose manifests mean packs of the
 * same size: labels and numbers alone do not say that two packs are the same.
 */
async function findPairs(
  wanted: ReadonlyMap<string, string>,
  { from, to }: RepairTools,
  context: RunContext,
): Promise<ReadonlyMap<string, PackPair>> {
  const pairs = new Map<string, PackPair>()
  for (const { here, there } of await findCommon({ from, to }, context)) {
    const source = await readHeadIfGood(here, from, context)
    const target = await readHeadIfGood(there, to, context)
    for (const reference of source?.packs.filter((pack) => wanted.has(packId(pack))) ?? []) {
      const pair = pairOf(reference, target)
      const known = pairs.get(packId(reference))
      if (pair !== undefined && known?.tag === undefined) pairs.set(packId(reference), pair)
    }
  }
  return pairs
}

/** `target`: the manifest of the same backup there; undefined when it is damaged. */
function pairOf(reference: PackReference, target: ManifestHead | undefined): PackPair | undefined {
  if (target === undefined) return { reference, tag: undefined }
  const same = target.packs.find((pack) => packId(pack) === packId(reference))
  return same?.rawBytes === reference.rawBytes ? { reference, tag: same.indexTag } : undefined
}

/** It may have been repaired since verify found it damaged. */
async function isGood(
  key: string,
  { tag }: PackPair,
  { tools: { to }, context }: { readonly tools: RepairTools; readonly context: RunContext },
): Promise<boolean> {
  if (tag === undefined) return false
  try {
    const bytes = await to.repository.store.get(key, undefined, context)
    if (bytes === undefined) return false
    const pack = new PackReader(bytes, { keys: to.repository.keys.sealing, key })
    for (const number of pack.units.keys()) pack.lendUnit(number, () => undefined)
    return equalBytes(pack.indexTag, tag)
  } catch (error) {
    if (isAboutObject(error)) return false
    throw error
  }
}

async function replacePack(
  reference: PackReference,
  { from, to, pool, confirm }: RepairTools,
  context: RunContext,
): Promise<PackIdentity> {
  const made = await resealForTarget(reference, { from, to, pool }, context)
  const key = packKey(to.cluster.id, reference)
  await confirm()
  // Dying between the two leaves a pack missing that was damaged.
  await to.repository.store.delete([key], context)
  if ((await to.repository.store.putIfAbsent(key, made.bytes, context)) === 'exists') {
    throw new OperationError('busy', `replacing pack "${key}": somebody else stored it meanwhile`)
  }
  return storedAs(made)
}

function notThere(key: string, { from }: RepairTools): OperationError {
  return new OperationError(
    'not-found',
    `replacing pack "${key}": no backup that both list has it in "${from.repository.store.location}"`,
    {
      hint: 'What it belongs to cannot be repaired: delete those backups, and take a new one.',
    },
  )
}

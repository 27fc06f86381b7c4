import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import type { PackReference } from '../repository/manifest-head.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { packFolder, packKey } from '../repository/object-keys.ts'
import type { RepairTools } from './repair-tools.ts'
import { resealForTarget, storedAs } from './transfer-packs.ts'
import type { FailedCopy } from './transfer-wal.ts'

/** Packs that were replaced, by label and number: how the manifests of the repository are to mean them from now on. */
export type ReplacedPacks = ReadonlyMap<string, Pick<PackReference, 'indexTag' | 'sizeBytes'>>

export const packId = ({ label, number }: Pick<PackReference, 'label' | 'number'>): string =>
  `${label}/${number}`

/**
 * Puts a good copy in the place of each damaged pack, whole before the damaged one is deleted. It has another tag: until the
 * manifests that mean it are revised, they cannot be restored from, as before. What cannot be replaced stays, and is told.
 */
export async function replacePacks(
  damagedKeys: readonly string[],
  tools: RepairTools,
  context: RunContext,
): Promise<{ readonly replaced: ReplacedPacks; readonly failures: readonly FailedCopy[] }> {
  const replaced = new Map<string, Pick<PackReference, 'indexTag' | 'sizeBytes'>>()
  const failures: FailedCopy[] = []
  const wanted = new Map(damagedKeys.flatMap((key) => entryOf(key, tools)))
  if (wanted.size === 0) return { replaced, failures }
  const references = await findReferences(wanted, tools, context)
  for (const [id, key] of wanted) {
    const reference = references.get(id)
    if (reference === undefined) {
      failures.push({ subject: key, error: notThere(key, tools) })
      continue
    }
    try {
      replaced.set(id, await replacePack(reference, tools, context))
    } catch (error) {
      if (!(error instanceof OperationError && error.code === 'damaged')) throw error
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

/** Of the packs that are wanted: how the manifests of the good repository mean them. */
async function findReferences(
  wanted: ReadonlyMap<string, string>,
  { from }: RepairTools,
  context: RunContext,
): Promise<ReadonlyMap<string, PackReference>> {
  const references = new Map<string, PackReference>()
  const { backups } = await readCatalogue(from.repository, from.cluster.id, context)
  for (const backup of backups) {
    const name = { clusterId: from.cluster.id, ...backup }
    const { packs } = await readManifestHead(from.repository, name, context)
    for (const pack of packs) if (wanted.has(packId(pack))) references.set(packId(pack), pack)
  }
  return references
}

async function replacePack(
  reference: PackReference,
  { from, to, pool, confirm }: RepairTools,
  context: RunContext,
): Promise<Pick<PackReference, 'indexTag' | 'sizeBytes'>> {
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
    `replacing pack "${key}": no backup of "${from.repository.store.location}" has it`,
    {
      hint: 'What it belongs to cannot be repaired: delete those backups, and take a new one.',
    },
  )
}

import { isAboutObject } from '../archive/object-trouble.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { BackupEntry, ListedBackup } from '../repository/backup-entry.ts'
import { changeCatalogue, readCatalogue } from '../repository/catalogue.ts'
import { readManifestEntries, readManifestHead } from '../repository/manifest-reader.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import { manifestFolder } from '../repository/object-keys.ts'
import { isTwin } from './plan-transfer.ts'
import type { RepairTools } from './repair-tools.ts'
import { packId } from './known-packs.ts'
import type { ReplacedPacks } from './replace-packs.ts'
import { freeRevision, transferBackup, transferManifest } from './transfer-backup.ts'
import type { FailedCopy } from './transfer-wal.ts'

export interface Revision {
  readonly replaced: ReplacedPacks
  /** Whatever was found to be damaged: the backups whose manifests are among it are revised as well. */
  readonly damagedKeys: readonly string[]
}

/**
 * Gives each listed backup that means a replaced pack, or whose manifest is damaged, another manifest, and lists that. The files
 * stay the same. A manifest that is good is changed; of one that is not, the other repository's is taken.
 */
export async function reviseBackups(
  revision: Revision,
  tools: RepairTools,
  context: RunContext,
): Promise<{ readonly revised: readonly BackupLabel[]; readonly failures: readonly FailedCopy[] }> {
  const { from, to, confirm } = tools
  const revised: BackupLabel[] = []
  const failures: FailedCopy[] = []
  const { backups } = await readCatalogue(to.repository, to.cluster.id, context)
  const { backups: others } = await readCatalogue(from.repository, from.cluster.id, context)
  const damaged = labelsOf(revision.damagedKeys, tools)
  for (const backup of backups) {
    const head = await readGoodHead(backup, { tools, isSuspect: damaged.has(backup.label) }, context)
    if (head !== undefined && !head.packs.some((pack) => revision.replaced.has(packId(pack)))) continue
    try {
      const entry =
        head === undefined
          ? await fromOther({ backup, others }, tools, context)
          : await fromOwn({ backup, head, replaced: revision.replaced }, tools, context)
      const change = { kind: 'revise', backup: entry } as const
      await changeCatalogue(to.repository, { clusterId: to.cluster.id, change, confirm }, context)
      revised.push(backup.label)
    } catch (error) {
      const isTold = isOperationError(error, 'not-found') || isOperationError(error, 'repositories-differ')
      if (!isAboutObject(error) && !isTold) throw error
      failures.push({ subject: backup.label, error })
    }
  }
  return { revised, failures }
}

/** Undefined when the head or a part of the manifest is damaged. */
async function readGoodHead(
  backup: ListedBackup,
  { tools: { to }, isSuspect }: { readonly tools: RepairTools; readonly isSuspect: boolean },
  context: RunContext,
): Promise<ManifestHead | undefined> {
  const clusterId = to.cluster.id
  try {
    const head = await readManifestHead(to.repository, { clusterId, ...backup }, context)
    if (!isSuspect) return head
    for await (const _ of readManifestEntries(to.repository, { clusterId, head }, context))
      context.signal.throwIfAborted()
    return head
  } catch (error) {
    if (isAboutObject(error)) return undefined
    throw error
  }
}

async function fromOwn(
  {
    backup,
    head,
    replaced,
  }: { readonly backup: ListedBackup; readonly head: ManifestHead; readonly replaced: ReplacedPacks },
  { to }: RepairTools,
  context: RunContext,
): Promise<BackupEntry> {
  const places = { from: to, to }
  const packs = head.packs.map((pack) => ({ ...pack, ...replaced.get(packId(pack)) }))
  const revision = await freeRevision(backup, places, context)
  const { digest } = await transferManifest({ head, packs, revision }, places, context)
  return entryOf(backup, { revision, manifestDigest: digest })
}

async function fromOther(
  { backup, others }: { readonly backup: ListedBackup; readonly others: readonly ListedBackup[] },
  tools: RepairTools,
  context: RunContext,
): Promise<BackupEntry> {
  const other = others.find(({ label }) => label === backup.label)
  if (other === undefined || isTwin(backup, other)) {
    throw new OperationError(
      'not-found',
      `repairing the manifest of backup ${backup.label}: "${tools.from.repository.store.location}" does not list this backup`,
      { hint: 'It cannot be repaired: delete it, and take a new one.' },
    )
  }
  const { entry } = await transferBackup(other, tools, context)
  return entryOf(backup, entry)
}

function entryOf(
  { isPinned: _isPinned, walRetention: _walRetention, ...backup }: ListedBackup,
  { revision, manifestDigest }: Pick<BackupEntry, 'revision' | 'manifestDigest'>,
): BackupEntry {
  return { ...backup, revision, manifestDigest }
}

/** Of the backups whose manifests are among these objects. */
function labelsOf(keys: readonly string[], { to }: RepairTools): ReadonlySet<string> {
  const folder = manifestFolder(to.cluster.id)
  return new Set(
    keys.filter((key) => key.startsWith(folder)).map((key) => key.slice(folder.length).split('/')[0] ?? ''),
  )
}

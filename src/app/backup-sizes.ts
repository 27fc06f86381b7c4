import type { ArchivePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { PackReference } from '../repository/manifest-head.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'

/** What a backup takes in a repository that it shares with others. */
export interface BackupSizes {
  /** Of all packs that a restore of it reads, whoever wrote them. */
  readonly referencedBytes: number
  /** Of those packs that no other listed backup refers to: what deleting it would free, beside WAL. */
  readonly freedBytes: number
}

/** A pack and the only backup that refers to it, if there is only one. */
interface Use {
  readonly sizeBytes: number
  only: BackupLabel | undefined
}

/**
 * What each backup refers to, and what it alone refers to, by all manifests. Undefined when one of them cannot be read: it
 * may need what the others seem to need alone.
 */
export async function measureBackups(
  backups: readonly ListedBackup[],
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<ReadonlyMap<BackupLabel, BackupSizes> | undefined> {
  const uses = new Map<string, Use>()
  const referenced = new Map<BackupLabel, number>()
  for (const backup of backups) {
    try {
      const { packs } = await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
      for (const pack of packs) note(uses, pack, backup.label)
      referenced.set(
        backup.label,
        packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      )
    } catch (error) {
      if (!isOperationError(error, 'damaged') && !isOperationError(error, 'format-newer')) throw error
      return undefined
    }
  }
  const freed = new Map<BackupLabel, number>()
  for (const { sizeBytes, only } of uses.values())
    if (only !== undefined) freed.set(only, (freed.get(only) ?? 0) + sizeBytes)
  return new Map(
    [...referenced].map(([label, referencedBytes]) => [
      label,
      { referencedBytes, freedBytes: freed.get(label) ?? 0 },
    ]),
  )
}

function note(uses: Map<string, Use>, { label, number, sizeBytes }: PackReference, user: BackupLabel): void {
  const name = `${label}/${number}`
  const use = uses.get(name)
  if (use === undefined) uses.set(name, { sizeBytes, only: user })
  else use.only = undefined
}

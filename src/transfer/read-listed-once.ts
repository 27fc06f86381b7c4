import { isAboutObject } from '../archive/object-trouble.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { instantFromMs, type Instant } from '../domain/target-time.ts'
import { labelsOf, readCatalogueEntry, type CatalogueEntry } from '../repository/catalogue.ts'
import { listNumbers } from '../repository/numbered-objects.ts'
import { catalogPrefix } from '../repository/object-keys.ts'

export interface ListedOnce {
  /** What the repository has ever listed, as far as its catalogue still tells. */
  readonly everListed: ReadonlySet<BackupLabel>
  /** From when on it tells all; undefined: from the beginning. */
  readonly toldSince: Instant | undefined
}

/** Reads all entries of a catalogue that are kept. Old ones are deleted in time, and one that is damaged is passed over. */
export async function readListedOnce(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<ListedOnce> {
  const everListed = new Set<BackupLabel>()
  let oldest: CatalogueEntry | undefined
  for (const number of await listNumbers(repository, catalogPrefix(cluster.id), context)) {
    try {
      const entry = await readCatalogueEntry(repository, { clusterId: cluster.id, number }, context)
      for (const label of labelsOf(entry)) everListed.add(label)
      oldest ??= entry
    } catch (error) {
      if (!isAboutObject(error)) throw error
    }
  }
  if (oldest === undefined || oldest.number === 1) return { everListed, toldSince: undefined }
  return { everListed, toldSince: instantFromMs(oldest.writtenAtMs) }
}

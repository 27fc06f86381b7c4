import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { readCatalogueEntries, type CatalogueEntry } from '../repository/catalogue.ts'
import { catalogKey, catalogPrefix } from '../repository/object-keys.ts'
import { objectProblem, type Finding } from './object-problem.ts'

export interface CatalogueResult {
  readonly findings: readonly Finding[]
  readonly objects: number
  /** Of the newest entry, or of the newest that can be read: what has to be proven. */
  readonly backups: readonly ListedBackup[]
  /** Undefined when nothing was ever listed. */
  readonly newestKey: string | undefined
}

/** Reads every entry of the catalogue and its link to the one before. */
export async function checkCatalogue(place: ArchivePlace, context: RunContext): Promise<CatalogueResult> {
  const findings: Finding[] = []
  let { oldest, newest } = await findEnds(place, context)
  let objects = 0
  let last: CatalogueEntry | undefined
  for (let from = oldest; from <= newest;) {
    try {
      const request = { clusterId: place.cluster.id, from }
      for await (const entry of readCatalogueEntries(place.repository, request, context)) {
        last = entry
        objects += 1
        from = entry.number + 1
        newest = Math.max(newest, entry.number)
      }
      break
    } catch (error) {
      const problem = objectProblem(error)
      if (problem === undefined) throw error
      ;({ oldest } = await findEnds(place, context))
      const key = catalogKey(place.cluster.id, from)
      // Old entries may be deleted while we read: what is before the oldest one is not missed.
      if (from >= oldest) findings.push({ key, kind: 'catalogue', problem, group: undefined })
      from = Math.max(from + 1, oldest)
    }
  }
  const newestKey = newest === 0 ? undefined : catalogKey(place.cluster.id, newest)
  return { findings, objects, backups: last?.backups ?? [], newestKey }
}

async function findEnds(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<{ readonly oldest: number; readonly newest: number }> {
  const prefix = catalogPrefix(cluster.id)
  const numbers: number[] = []
  for await (const { key } of repository.store.list(prefix, context)) {
    const name = key.slice(prefix.length)
    if (/^\d{10}$/.test(name)) numbers.push(Number(name))
  }
  return { oldest: numbers[0] ?? 1, newest: numbers.at(-1) ?? 0 }
}

import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { emptyCatalogue, readCatalogueEntries, type CatalogueEntry } from '../repository/catalogue.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { catalogKey, catalogPrefix } from '../repository/object-keys.ts'
import { objectProblem, type Finding } from './object-problem.ts'

export interface CatalogueResult {
  readonly findings: readonly Finding[]
  readonly objects: number
  /** Of the newest entry, or of the newest that can be read: what has to be proven. */
  readonly backups: readonly ListedBackup[]
  readonly dumps: readonly ListedDump[]
  /** Undefined when nothing was ever listed. */
  readonly newestKey: string | undefined
}

/** Reads every entry of the catalogue and its link to the one before. A row of missing entries is one finding. */
export async function checkCatalogue(place: ArchivePlace, context: RunContext): Promise<CatalogueResult> {
  const findings: Finding[] = []
  const listed = await listNumbers(place, context)
  let newest = listed.at(-1) ?? 0
  let objects = 0
  let last: CatalogueEntry | undefined
  let from = listed[0]
  while (from !== undefined && from <= newest) {
    context.signal.throwIfAborted()
    const row = await readRow(place, from, context)
    const { next } = row
    objects += next - from
    last = row.last ?? last
    newest = Math.max(newest, next - 1)
    if (row.problem === undefined) break
    const numbers = await listNumbers(place, context)
    findings.push(...findingsOf({ place, numbers, next }, row.problem))
    from = numbers.includes(next) ? next + 1 : behind(next, numbers)
  }
  const newestKey = newest === 0 ? undefined : catalogKey(place.cluster.id, newest)
  const { backups, dumps } = last ?? emptyCatalogue
  return { findings, objects, backups, dumps, newestKey }
}

interface Row {
  /** The last one that could be read. */
  readonly last: CatalogueEntry | undefined
  /** The number behind it. */
  readonly next: number
  /** Why it goes on no further; undefined at the end. */
  readonly problem: string | undefined
}

async function readRow(place: ArchivePlace, from: number, context: RunContext): Promise<Row> {
  let last: CatalogueEntry | undefined
  let next = from
  try {
    const request = { clusterId: place.cluster.id, from }
    for await (const entry of readCatalogueEntries(place.repository, request, context)) {
      last = entry
      next = entry.number + 1
    }
    return { last, next, problem: undefined }
  } catch (error) {
    const problem = objectProblem(error)
    if (problem === undefined) throw error
    return { last, next, problem }
  }
}

/** The first entry behind this number that is there. */
const behind = (next: number, numbers: readonly number[]): number | undefined =>
  numbers.find((number) => number > next)

interface Stop {
  readonly place: ArchivePlace
  readonly numbers: readonly number[]
  /** The entry that could not be read. */
  readonly next: number
}

/** Old entries may be deleted while we read: what is before the oldest one is not missed. */
function findingsOf({ place, numbers, next }: Stop, problem: string): readonly Finding[] {
  if (next < (numbers[0] ?? 1)) return []
  const id = place.cluster.id
  const key = catalogKey(id, next)
  const end = behind(next, numbers) ?? next + 1
  const isRow = !numbers.includes(next) && end > next + 1
  const row = `reading the catalogue: its entries "${key}" to "${catalogKey(id, end - 1)}" have vanished`
  return [{ key, kind: 'catalogue', problem: isRow ? row : problem, group: undefined }]
}

/** Ascending. */
async function listNumbers(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<readonly number[]> {
  const prefix = catalogPrefix(cluster.id)
  const numbers: number[] = []
  for await (const { key } of repository.store.list(prefix, context)) {
    const name = key.slice(prefix.length)
    if (/^\d{10}$/.test(name)) numbers.push(Number(name))
  }
  return numbers
}

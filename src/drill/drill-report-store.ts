import type { ArchivePlace } from '../archive/archive-place.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { listNumbers } from '../repository/numbered-objects.ts'
import { drillKey, drillPrefix } from '../repository/object-keys.ts'
import { readObject, writeObject } from '../repository/sealed-store.ts'
import { tidyAway } from '../repository/tidy-away.ts'
import { decodeDrillReport, encodeDrillReport, type DrillReport } from './drill-report.ts'

/** So many reports are kept. */
const keptReports = 100
const mostAttempts = 20

/** Stores a report under the next number, and removes the oldest of very many. */
export async function storeDrillReport(
  report: DrillReport,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<void> {
  const payload = encodeDrillReport(report)
  for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
    const numbers = await listNumbers(repository, drillPrefix(cluster.id), context)
    const key = drillKey(cluster.id, (numbers.at(-1) ?? 0) + 1 + attempt)
    const answer = await writeObject(repository, { name: { kind: 'drill-report', key }, payload }, context)
    if (answer === 'exists') continue // another drill, or a listing that lags
    const old = numbers.slice(0, -keptReports).map((number) => drillKey(cluster.id, number))
    await tidyAway(repository, old, context)
    return
  }
  throw new OperationError('busy', 'storing the report of a drill: other drills take every number')
}

/** The newest report that can be read; undefined when there is none. What cannot be read is warned of. */
export async function readNewestDrill(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<DrillReport | undefined> {
  const numbers = await listNumbers(repository, drillPrefix(cluster.id), context)
  for (const number of numbers.toReversed()) {
    const key = drillKey(cluster.id, number)
    try {
      const payload = await readObject(repository, { kind: 'drill-report', key }, context)
      if (payload !== undefined) return decodeDrillReport(payload, key)
    } catch (error) {
      if (!isAboutObject(error)) throw error
      context.report({ kind: 'warning', message: `a drill report is passed over: ${error.message}` })
    }
  }
  return undefined
}

import { isAboutObject } from '../archive/object-trouble.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { DumpPlace } from '../repository/dump-reader.ts'
import { listNumbers } from '../repository/numbered-objects.ts'
import { dumpDrillFolder, dumpDrillKey, dumpDrillPrefix } from '../repository/object-keys.ts'
import { readObject, writeObject } from '../repository/sealed-store.ts'
import { tidyAway } from '../repository/tidy-away.ts'
import { decodeDumpDrillReport, encodeDumpDrillReport, type DumpDrillReport } from './dump-drill-report.ts'

/** So many reports are kept, of all dumps. */
const keptReports = 100
const mostAttempts = 20

/** Stores a report under the next number of its dump, and removes those of the oldest dumps of very many. */
export async function storeDumpDrill(
  report: DumpDrillReport,
  { repository, cluster }: DumpPlace,
  context: RunContext,
): Promise<void> {
  const { label } = report
  const payload = encodeDumpDrillReport(report)
  for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
    const numbers = await listNumbers(repository, dumpDrillPrefix(cluster.id, label), context)
    const key = dumpDrillKey(cluster.id, { label, number: (numbers.at(-1) ?? 0) + 1 + attempt })
    const answer = await writeObject(repository, { name: { kind: 'drill-report', key }, payload }, context)
    if (answer === 'exists') continue // another drill, or a listing that lags
    const stored: string[] = []
    for await (const object of repository.store.list(dumpDrillFolder(cluster.id), context))
      if (object.key !== key) stored.push(object.key)
    await tidyAway(repository, stored.slice(0, 1 - keptReports), context)
    return
  }
  throw new OperationError('busy', 'storing the report of a drill: other drills take every number')
}

/** The newest report about a dump that can be read; undefined when there is none. What cannot be read is warned of. */
export async function readNewestDumpDrill(
  { repository, cluster }: DumpPlace,
  label: BackupLabel,
  context: RunContext,
): Promise<DumpDrillReport | undefined> {
  const numbers = await listNumbers(repository, dumpDrillPrefix(cluster.id, label), context)
  for (const number of numbers.toReversed()) {
    const key = dumpDrillKey(cluster.id, { label, number })
    try {
      const payload = await readObject(repository, { kind: 'drill-report', key }, context)
      if (payload !== undefined) return decodeDumpDrillReport(payload, key)
    } catch (error) {
      if (!isAboutObject(error)) throw error
      context.report({ kind: 'warning', message: `a drill report is passed over: ${error.message}` })
    }
  }
  return undefined
}

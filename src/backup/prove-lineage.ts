import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeText } from '../archive/check-archived-file.ts'
import { collectChanges, type CollectedChanges } from '../archive/collect-changes.ts'
import { readTimelineHistory } from '../archive/timeline-histories.ts'
import { historyFileName } from '../domain/archive-file-name.ts'
import { formatByteSize } from '../domain/byte-size.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { parseTimelineHistory, type TimelineHistory } from '../domain/timeline-history.ts'
import type { StartedBackup } from '../postgres/backup-session.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import type { Lineage } from './plan-incremental.ts'
import type { BackupTools } from './run-backup.ts'

/** The backup to go on from, and the way from it to where the server is now. */
export interface ChosenParent {
  readonly head: ManifestHead
  readonly history: TimelineHistory
  readonly isAudit: boolean
}

/** The history of the timeline that the server is on, out of its pg_wal or the archive; undefined when nobody has it. */
export async function readServerHistory(
  { dataDirectory, timeline }: Pick<ServerFacts, 'dataDirectory' | 'timeline'>,
  place: BackupTools,
  context: RunContext,
): Promise<TimelineHistory | undefined> {
  if (timeline === 1) return { timeline, ancestors: [] }
  try {
    const bytes = await readFile(join(dataDirectory, 'pg_wal', historyFileName(timeline)))
    return parseTimelineHistory(timeline, decodeText(bytes))
  } catch {
    // The archive has it for good; what the server has is only the shorter way.
  }
  try {
    return await readTimelineHistory(place, timeline, context)
  } catch (error) {
    if (isOperationError(error, 'damaged') || isOperationError(error, 'target-ambiguous')) return undefined
    throw error
  }
}

interface Proving {
  readonly parent: ChosenParent
  readonly facts: ServerFacts
  readonly started: StartedBackup
}

/**
 * What the WAL changed between the start of the parent and the start of this backup (R51, R52). Where that cannot be proven
 * everything is read, and the reason is reported: to guess would lose data.
 */
export async function proveLineage(
  proving: Proving,
  place: BackupTools,
  context: RunContext,
): Promise<Lineage> {
  const { head, isAudit } = proving.parent
  const lineage = { repository: place.repository, clusterId: place.cluster.id, head }
  const collected = await collect(proving, place, context)
  const { label } = head.backup
  if (collected.kind === 'unproven') {
    context.report({
      kind: 'warning',
      message: `everything is read, because what has changed since backup ${label} is not proven: ${collected.reason}`,
    })
    return { ...lineage, changes: undefined, isAudit: false }
  }
  const { walBytes, segmentCount, indexedCount } = collected
  context.report({
    kind: 'note',
    message: `going on from backup ${label}: ${formatByteSize(walBytes)} of WAL in ${segmentCount} segments, of which ${indexedCount} had an index`,
  })
  return { ...lineage, changes: collected.changes, isAudit }
}

async function collect(
  { parent: { head, history }, facts, started }: Proving,
  place: BackupTools,
  context: RunContext,
): Promise<CollectedChanges> {
  const { backup, hasDataChecksums } = head
  if (started.timeline !== history.timeline)
    return {
      kind: 'unproven',
      reason: `the server went from timeline ${history.timeline} to ${started.timeline}`,
    }
  if (hasDataChecksums !== facts.hasDataChecksums)
    return {
      kind: 'unproven',
      reason: `data checksums were switched ${facts.hasDataChecksums ? 'on' : 'off'}`,
    }
  if (started.startLsn < backup.stopLsn)
    return { kind: 'unproven', reason: 'the server is at an earlier place in the WAL' }
  const from = { timeline: backup.timeline, lsn: backup.startLsn }
  const walFolder = join(facts.dataDirectory, 'pg_wal')
  return collectChanges({ history, from, to: started.startLsn, walFolder }, place, context)
}

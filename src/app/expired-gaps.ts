import type { SegmentRun, TimelineCoverage } from '../domain/wal-gaps.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'

/**
 * Coverage without the holes that retention has made: between the WAL that old backups keep for themselves and the first
 * that is kept onward. A hole counts when the way of some backup may lead over it; without any backup, always.
 */
export function withoutExpiredGaps(
  timelines: readonly TimelineCoverage[],
  backups: readonly ListedBackup[],
): readonly TimelineCoverage[] {
  if (backups.length === 0) return timelines
  return timelines.map(({ gaps, ...coverage }) => ({
    ...coverage,
    gaps: gaps.filter((gap) => backups.some((backup) => leadsOver(gap, backup))),
  }))
}

const leadsOver = (gap: SegmentRun, { walRetention, timeline, startLsn, stopLsn }: ListedBackup): boolean =>
  startLsn < gap.endLsn &&
  (walRetention === 'own' ? timeline === gap.timeline && stopLsn > gap.startLsn : timeline <= gap.timeline)

import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { toLsn } from '../domain/lsn.ts'
import { isReachable, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import { parseSegmentName, segmentNumberAt, type WalSegmentSize } from '../domain/wal-segment.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'

export interface WalNeed {
  readonly backups: readonly ListedBackup[]
  /** Of every timeline whose history can be read. */
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>
  readonly segmentSize: WalSegmentSize
}

/**
 * Tells which archived files some listed backup needs. By timeline and position, never by the order of names: a segment of
 * an older timeline may be newer than one of a younger (R67). Needed is
 *
 * - of every backup its own WAL, from the segment of its start to that of its stop;
 * - of a backup that keeps its WAL onward, everything from its start on: on its timeline, also where that was abandoned
 *   later, and on every timeline that grew out of it behind the backup's start;
 * - every history file, and everything of a timeline of which nobody knows where it comes from.
 */
export function createWalNeed({
  backups,
  histories,
  segmentSize,
}: WalNeed): (file: ArchiveFileName) => boolean {
  const spans = backups.map(({ timeline, startLsn, stopLsn, walRetention }) => ({
    timeline,
    startLsn,
    first: segmentNumberAt(startLsn, segmentSize),
    // Of the segment that begins at the stop it needs nothing.
    last: walRetention === 'own' ? segmentNumberAt(toLsn(stopLsn - 1n), segmentSize) : undefined,
  }))
  const isOriginKnown = (timeline: TimelineId): boolean => timeline === 1 || histories.has(timeline)

  return (file) => {
    if (file.kind === 'history' || !isOriginKnown(file.timeline)) return true
    const number = segmentNumberOf(file, segmentSize)
    if (number === undefined) return true
    const history = histories.get(file.timeline)
    return spans.some(({ timeline, startLsn, first, last }) => {
      if (number < first) return false
      if (timeline === file.timeline) return last === undefined || number <= last
      if (last !== undefined || history === undefined) return false
      return isReachable(history, { timeline, lsn: startLsn })
    })
  }
}

/** Undefined for a name that this segment size does not allow: somebody else's, and not ours to judge. */
function segmentNumberOf(
  file: Exclude<ArchiveFileName, { kind: 'history' }>,
  segmentSize: WalSegmentSize,
): bigint | undefined {
  try {
    return parseSegmentName(file.kind === 'segment' ? file.name : file.segment, segmentSize).number
  } catch (error) {
    if (isOperationError(error)) return undefined
    throw error
  }
}

import { formatLsn, type Lsn } from './lsn.ts'
import { OperationError } from './operation-error.ts'
import { timelineSpans, type TimelineHistory, type TimelineSpan } from './timeline-history.ts'
import type { TimelineId } from './timeline.ts'
import { segmentNameOf, segmentNumberAt, type WalSegmentName, type WalSegmentSize } from './wal-segment.ts'

/** The WAL that a recovery reads. */
export interface RecoveryStretch {
  /** The first byte read, with the timeline that it is on: a backup's redo point. */
  readonly from: { readonly timeline: TimelineId; readonly lsn: Lsn }
  /** The first byte no longer needed. Undefined: to the end of the archive, so the path never ends. */
  readonly to: Lsn | undefined
}

/** One step of a recovery: it needs one of these files, and PostgreSQL asks for them in this order. */
export interface PathSegment {
  readonly number: bigint
  /** Never empty. More than one only where timelines fork inside the segment. */
  readonly candidates: readonly PathCandidate[]
}

interface PathCandidate {
  readonly timeline: TimelineId
  readonly name: WalSegmentName
}

/**
 * The segments that a recovery along `history` reads, in order and lazily.
 *
 * Where timelines fork inside a segment there are several files of the same number. The younger one starts as a copy of
 * the older one up to the fork (XLogInitNewTimeline in access/transam/xlog.c), and PostgreSQL asks for the youngest
 * first (XLogFileReadAnyTLI in access/transam/xlogrecovery.c). So the youngest serves always, an older one only when
 * recovery ends at or before the fork. At least one candidate must be there; a file that is no candidate must not stand
 * in for one, since recovery would run on into the branch that was left.
 *
 * Fails with `target-unreachable` when the history does not pass through the start.
 */
export function segmentPath(
  history: TimelineHistory,
  stretch: RecoveryStretch,
  segmentSize: WalSegmentSize,
): Generator<PathSegment, void, undefined> {
  const { timeline, lsn } = stretch.from
  const spans = timelineSpans(history)
  const start = spans.findLast(({ startLsn }) => startLsn <= lsn)
  if (start?.timeline !== timeline) {
    throw new OperationError(
      'target-unreachable',
      `timeline ${history.timeline} does not pass through ${formatLsn(lsn)} on timeline ${timeline}`,
      { hint: 'Choose a timeline that came out of the backup, or a backup from before the fork.' },
    )
  }
  return walkSpans(spans, stretch, segmentSize)
}

function* walkSpans(
  spans: readonly TimelineSpan[],
  { from, to }: RecoveryStretch,
  segmentSize: WalSegmentSize,
): Generator<PathSegment, void, undefined> {
  const size = BigInt(segmentSize)
  if (to !== undefined && to <= from.lsn) return
  for (let number = segmentNumberAt(from.lsn, segmentSize); ; number += 1n) {
    if (to !== undefined && number * size >= to) return
    const end = (number + 1n) * size
    const neededEnd = to !== undefined && to < end ? to : end
    const candidates = spans
      .filter((span) => span.startLsn < end && (span.endLsn === undefined || span.endLsn >= neededEnd))
      .map(({ timeline }) => ({ timeline, name: segmentNameOf(timeline, number, segmentSize) }))
      .toReversed()
    yield { number, candidates }
  }
}

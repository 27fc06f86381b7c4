import { fetchSegment } from '../archive/fetch-segment.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { formatLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { instantFromPostgres, type Instant } from '../domain/target-time.ts'
import type { WalSegmentName } from '../domain/wal-segment.ts'
import type { WalSegmentBytes } from '../wal/record-reader.ts'
import { summarizeSegments, type WalSummary } from '../wal/segment-summary.ts'
import type { WalEndReason } from '../wal/wal-end.ts'
import type { Route } from './choose-route.ts'
import { segmentsBackwards, type ArchivedNames, type WalRoute } from './wal-route.ts'

/** What the last segments of a route hold. */
export interface ArchiveEnd {
  /** Where the last whole record begins and ends; undefined when no record was found. */
  readonly lastRecordLsn: Lsn | undefined
  readonly lastRecordEndLsn: Lsn | undefined
  /** The latest commit of those that were looked at; undefined when there is none since the backup began. */
  readonly lastCommitAt: Instant | undefined
}

interface PlacedSegment {
  readonly name: WalSegmentName
  readonly startLsn: Lsn
}

/** How WAL ends that was archived while it was being written: nothing follows, or what a segment held before. */
const usualEnds: ReadonlySet<WalEndReason> = new Set([
  'segments-exhausted',
  'record-unfinished',
  'zeroes',
  'page-recycled',
])

/**
 * Reads the end of the row of segments, going back until there is a record and, when `needsCommit`, a commit. Usually one
 * segment. Every segment that is read is verified; damage is an error, because recovery would end there without a word.
 */
export async function readArchiveEnd(
  {
    route,
    walRoute,
    archived,
    needsCommit,
  }: { route: Route; walRoute: WalRoute; archived: ArchivedNames; needsCommit: boolean },
  place: ArchivePlace,
  context: RunContext,
): Promise<ArchiveEnd> {
  const backwards = segmentsBackwards(route, {
    archived,
    walRoute,
    segmentSize: place.cluster.walSegmentSize,
  })
  const window: PlacedSegment[] = []
  for (;;) {
    const before = window.length
    while (window.length < Math.max(1, before * 2)) {
      const next = backwards.next()
      if (next.done === true) break
      window.unshift(next.value)
    }
    const summary = await summarizeSegments(fetchAll(window, place, context))
    refuseDamage(summary, window)
    const isEnough =
      summary.lastRecordLsn !== undefined && (!needsCommit || summary.latestCommitTime !== undefined)
    if (isEnough || window.length === before) return describeEnd(summary)
  }
}

function describeEnd({ lastRecordLsn, lastRecordEndLsn, latestCommitTime }: WalSummary): ArchiveEnd {
  const lastCommitAt = latestCommitTime === undefined ? undefined : instantFromPostgres(latestCommitTime)
  return { lastRecordLsn, lastRecordEndLsn, lastCommitAt }
}

/** In the last segment anything may be where no WAL was written yet. */
function refuseDamage({ end }: WalSummary, window: readonly PlacedSegment[]): void {
  const last = window.at(-1)
  if (last === undefined || usualEnds.has(end.reason) || end.lsn >= last.startLsn) return
  throw new OperationError('damaged', `reading the archived WAL at ${formatLsn(end.lsn)}: ${end.detail}`, {
    hint: 'Recovery would end here: restore to an LSN before it, or bring the segment back from another copy.',
  })
}

/** The verified contents of these segments, one in memory at a time. */
export async function* fetchAll(
  segments: Iterable<PlacedSegment>,
  place: ArchivePlace,
  context: RunContext,
): AsyncGenerator<WalSegmentBytes, void> {
  for (const { name, startLsn } of segments) {
    context.signal.throwIfAborted()
    const fetched = await fetchSegment({ name }, place, context)
    if (fetched.kind === 'absent') {
      throw new OperationError(
        'wal-missing',
        `reading WAL segment ${name}: it was listed and is not there any more`,
        {
          hint: 'Run the command again; when it was expired, choose a later backup.',
        },
      )
    }
    yield { startLsn, bytes: fetched.bytes }
  }
}

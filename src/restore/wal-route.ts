import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import { segmentPath, type PathSegment } from '../domain/segment-path.ts'
import { timelineSpans, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { TimelineCoverage } from '../domain/wal-gaps.ts'
import {
  isWalSegmentName,
  parseSegmentName,
  segmentNameOf,
  segmentNumberAt,
  type WalSegmentName,
  type WalSegmentSize,
} from '../domain/wal-segment.ts'
import type { Route } from './choose-route.ts'

/** What the archive holds, as far as names tell. */
export interface ArchivedNames {
  readonly hasSegment: (name: WalSegmentName) => boolean
  /** Segments with several contents. */
  readonly conflicts: ReadonlySet<string>
  readonly timelines: readonly TimelineCoverage[]
}

/** The unbroken row of segments that a recovery along a route can read. */
export interface WalRoute {
  readonly first: WalSegmentName
  /** Undefined: not even the first one is there. */
  readonly last: WalSegmentName | undefined
  readonly count: number
  /** The first byte that is not there. */
  readonly endLsn: Lsn
  /** Where the next segment was looked for. */
  readonly missing: WalSegmentName
  /** True: WAL of this route goes on behind the missing segment. */
  readonly hasGap: boolean
  /** The first segment on the way that has several contents. */
  readonly conflict: { readonly name: WalSegmentName; readonly startLsn: Lsn } | undefined
}

/** Follows the route from the backup's start until a segment is missing: over ranges, so that their length costs nothing. */
export function followWal(
  { backup, history }: Route,
  archived: ArchivedNames,
  segmentSize: WalSegmentSize,
): WalRoute {
  const from = { timeline: backup.timeline, lsn: backup.startLsn }
  const size = BigInt(segmentSize)
  const firstNumber = segmentNumberAt(from.lsn, segmentSize)
  const [first] = segmentPath(history, { from, to: undefined }, segmentSize)
  if (first === undefined) throw new Error('a segment path without an end has ended')
  const legs = [...followLegs(history, { archived, firstNumber, segmentSize })]
  const { timeline, end } = legs.at(-1) ?? { timeline: from.timeline, end: firstNumber }
  const lastLeg = legs.findLast((leg) => leg.end > leg.start)
  const endLsn = toLsn(end * size)
  return {
    first: nameOf(first),
    last: lastLeg && segmentNameOf(lastLeg.timeline, lastLeg.end - 1n, segmentSize),
    count: Number(end - firstNumber),
    conflict: firstConflict(legs, archived, segmentSize),
    missing: segmentNameOf(timeline, end, segmentSize),
    endLsn,
    hasGap: isContinued({ backup, history }, archived, endLsn),
  }
}

/** Segments from `start` up to `end`, which is not among them, that are read from one timeline. */
interface Leg {
  readonly timeline: TimelineId
  readonly start: bigint
  readonly end: bigint
}

/**
 * The row of segments that are there, by timeline. A segment is read from the timeline that its last byte belongs to, as
 * `segmentPath` says of a path without an end. The last leg ends where a segment is missing.
 */
function* followLegs(
  history: TimelineHistory,
  {
    archived,
    firstNumber,
    segmentSize,
  }: { archived: ArchivedNames; firstNumber: bigint; segmentSize: WalSegmentSize },
): Generator<Leg, void, undefined> {
  let start = firstNumber
  for (const { timeline, endLsn } of timelineSpans(history)) {
    const spanEnd = endLsn === undefined ? undefined : segmentNumberAt(endLsn, segmentSize)
    if (spanEnd !== undefined && spanEnd <= start) continue
    const archivedEnd = endOfRange({ timeline, number: start }, archived, segmentSize)
    if (spanEnd === undefined || archivedEnd < spanEnd) {
      yield { timeline, start, end: archivedEnd }
      return
    }
    yield { timeline, start, end: spanEnd }
    start = spanEnd
  }
}

/** The first number that is missing from `number` on. */
function endOfRange(
  { timeline, number }: { readonly timeline: TimelineId; readonly number: bigint },
  { timelines }: ArchivedNames,
  segmentSize: WalSegmentSize,
): bigint {
  const lsn = number * BigInt(segmentSize)
  const range = timelines
    .find((coverage) => coverage.timeline === timeline)
    ?.ranges.find(({ startLsn, endLsn }) => startLsn <= lsn && lsn < endLsn)
  return range === undefined ? number : segmentNumberAt(range.endLsn, segmentSize)
}

function firstConflict(
  legs: readonly Leg[],
  { conflicts }: ArchivedNames,
  segmentSize: WalSegmentSize,
): WalRoute['conflict'] {
  return [...conflicts]
    .filter(isWalSegmentName)
    .map((name) => parseSegmentName(name, segmentSize))
    .filter(({ timeline, number }) =>
      legs.some((leg) => leg.timeline === timeline && leg.start <= number && number < leg.end),
    )
    .toSorted((one, other) => Number(one.number - other.number))[0]
}

/** The segments of the row from the one that holds `from` on, newest first: for looking at its end. */
export function* segmentsBackwards(
  route: Route,
  {
    archived,
    walRoute,
    segmentSize,
  }: { archived: ArchivedNames; walRoute: WalRoute; segmentSize: WalSegmentSize },
): Generator<{ readonly name: WalSegmentName; readonly startLsn: Lsn }, void, undefined> {
  const size = BigInt(segmentSize)
  const lowest = (route.backup.startLsn / size) * size
  for (let start = walRoute.endLsn - size; start >= lowest; start -= size) {
    const from = start < route.backup.startLsn ? route.backup.startLsn : start
    const name = nameAt(route, { archived, from: toLsn(from), segmentSize })
    if (name === undefined) return
    yield { name, startLsn: toLsn(start) }
  }
}

/** The file that recovery reads the bytes at `from` out of, if it is there. */
export function nameAt(
  { history }: Pick<Route, 'history'>,
  { archived, from, segmentSize }: { archived: ArchivedNames; from: Lsn; segmentSize: WalSegmentSize },
): WalSegmentName | undefined {
  const timeline =
    timelineSpans(history).findLast(({ startLsn }) => startLsn <= from)?.timeline ?? history.timeline
  const [step] = segmentPath(history, { from: { timeline, lsn: from }, to: undefined }, segmentSize)
  return step?.candidates.find(({ name }) => archived.hasSegment(name))?.name
}

/** Throws unless everything up to `to` is there and unambiguous; `what` finishes "recovering". */
export function requireWal(walRoute: WalRoute, to: Lsn, what: string): void {
  if (walRoute.conflict !== undefined && walRoute.conflict.startLsn < to) {
    throw new OperationError(
      'target-ambiguous',
      `recovering ${what}: WAL segment ${walRoute.conflict.name} has several contents in the archive`,
      {
        hint: 'Two servers archived as one cluster: decide which one you follow, and move the other content out of the repository.',
      },
    )
  }
  if (walRoute.endLsn < to) throw missingWal(walRoute, what)
}

export function missingWal({ missing, endLsn, hasGap }: WalRoute, what: string): OperationError {
  const behind = hasGap ? ', while later ones are' : ''
  return new OperationError(
    'wal-missing',
    `recovering ${what}: WAL segment ${missing} is not in the archive${behind}`,
    {
      hint: `Push it from pg_wal of the server if it is still there; without it "--target-lsn" can reach what is before ${formatLsn(endLsn)}.`,
    },
  )
}

const nameOf = ({ candidates }: PathSegment): WalSegmentName => {
  const [youngest] = candidates
  if (youngest === undefined) throw new Error('a step of a segment path without candidates')
  return youngest.name
}

function isContinued({ history }: Route, { timelines }: ArchivedNames, hole: Lsn): boolean {
  return timelineSpans(history).some(({ timeline, endLsn }) => {
    const coverage = timelines.find((candidate) => candidate.timeline === timeline)
    return (
      coverage?.ranges.some(
        (range) =>
          range.endLsn > hole && range.startLsn > hole && (endLsn === undefined || range.startLsn < endLsn),
      ) ?? false
    )
  })
}

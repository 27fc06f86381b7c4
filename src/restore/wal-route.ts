import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import { segmentPath, type PathSegment } from '../domain/segment-path.ts'
import { timelineSpans } from '../domain/timeline-history.ts'
import type { TimelineCoverage } from '../domain/wal-gaps.ts'
import type { WalSegmentName, WalSegmentSize } from '../domain/wal-segment.ts'
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

/** Follows the route from the backup's start until a segment is missing. */
export function followWal(
  { backup, history }: Route,
  archived: ArchivedNames,
  segmentSize: WalSegmentSize,
): WalRoute {
  const from = { timeline: backup.timeline, lsn: backup.startLsn }
  const size = BigInt(segmentSize)
  let first: WalSegmentName | undefined
  let last: WalSegmentName | undefined
  let count = 0
  let conflict: WalRoute['conflict']
  for (const step of segmentPath(history, { from, to: undefined }, segmentSize)) {
    const wanted = nameOf(step)
    first ??= wanted
    const found = step.candidates.find(({ name }) => archived.hasSegment(name))?.name
    const startLsn = toLsn(step.number * size)
    if (found === undefined) {
      const fields = { first, last, count, conflict, missing: wanted, endLsn: startLsn }
      return { ...fields, hasGap: isContinued({ backup, history }, archived, startLsn) }
    }
    if (archived.conflicts.has(found)) conflict ??= { name: found, startLsn }
    last = found
    count += 1
  }
  throw new Error('a segment path without an end has ended')
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

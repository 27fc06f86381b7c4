import { toLsn, type Lsn } from './lsn.ts'
import { timelineSpans, type TimelineHistory } from './timeline-history.ts'
import type { TimelineId } from './timeline.ts'
import { segmentNameOf, segmentNumberAt, type WalSegmentName, type WalSegmentSize } from './wal-segment.ts'

/** What is known of an archive: nothing but names. */
export interface ArchivedWal {
  /** Numbers of the archived segments of each timeline, in any order. */
  readonly segments: ReadonlyMap<TimelineId, Iterable<bigint>>
  readonly histories: Iterable<TimelineHistory>
  readonly segmentSize: WalSegmentSize
}

/** What the archive holds of one timeline and what it lacks, in the order of the log. */
export interface TimelineCoverage {
  readonly timeline: TimelineId
  readonly ranges: readonly SegmentRun[]
  readonly gaps: readonly SegmentRun[]
  /** False: its `.history` file is missing, so nothing is known of where it comes from. Timeline 1 has none and is known. */
  readonly isOriginKnown: boolean
}

/** Neighbouring segments of one timeline. */
export interface SegmentRun {
  readonly timeline: TimelineId
  readonly first: WalSegmentName
  readonly last: WalSegmentName
  readonly count: bigint
  readonly startLsn: Lsn
  /** The first byte after the last segment. */
  readonly endLsn: Lsn
}

/** Segment numbers from `first` to `last`, both included. Lists of them are sorted and do not touch each other. */
interface Run {
  readonly first: bigint
  readonly last: bigint
}

/** The stretch of one timeline that a path leads over. */
interface Leg {
  readonly timeline: TimelineId
  readonly run: Run
}

/**
 * Finds the segments that are missing between existing ones (R28): between two of the same timeline, and along the path
 * from a timeline's ancestors to its youngest segment. Along a path each segment is looked for on the timeline that
 * recovery would read it from; the segment of a fork belongs to the younger timeline, because the older one often never
 * fills its own. What lies before the first and after the last existing segment is no gap. Works on runs, so that the
 * distance between two numbers costs nothing.
 */
export function findWalGaps({ segments, histories, segmentSize }: ArchivedWal): TimelineCoverage[] {
  const existing = new Map([...segments].map(([timeline, numbers]) => [timeline, runsOf(numbers)] as const))
  const historyOf = new Map([...histories].map((history) => [history.timeline, history] as const))
  const missing = [...existing].flatMap(([timeline, runs]) => {
    const history = historyOf.get(timeline)
    const paths = [[{ timeline, run: hullOf(runs) }], history && pathOf(history, runs, segmentSize)]
    return paths.flatMap((path) => missingAlong(path ?? [], existing))
  })
  const gaps = Map.groupBy(missing, ({ timeline }) => timeline)

  return [...new Set([...existing.keys(), ...gaps.keys()])]
    .toSorted((a, b) => a - b)
    .map((timeline) => ({
      timeline,
      ranges: describeRuns(timeline, existing.get(timeline) ?? [], segmentSize),
      gaps: describeRuns(timeline, joined((gaps.get(timeline) ?? []).map(({ run }) => run)), segmentSize),
      isOriginKnown: timeline === 1 || historyOf.has(timeline),
    }))
}

/** The way from the oldest ancestor to the youngest of a timeline's own segments. */
function pathOf(history: TimelineHistory, own: readonly Run[], segmentSize: WalSegmentSize): Leg[] {
  return timelineSpans(history)
    .map(({ timeline, startLsn, endLsn }) => {
      const first = segmentNumberAt(startLsn, segmentSize)
      const last = endLsn === undefined ? hullOf(own).last : segmentNumberAt(endLsn, segmentSize) - 1n
      return { timeline, run: { first, last } }
    })
    .filter(({ run }) => !isEmpty(run))
}

/** What is not there between the first and the last segment that is there. */
function missingAlong(path: readonly Leg[], existing: ReadonlyMap<TimelineId, readonly Run[]>): Leg[] {
  const legs = path.map(({ timeline, run }) => ({
    timeline,
    run,
    found: (existing.get(timeline) ?? []).map((part) => overlap(part, run)).filter((part) => !isEmpty(part)),
  }))
  const hull = hullOf(legs.flatMap(({ found }) => found))
  return legs.flatMap(({ timeline, run, found }) =>
    complement(found, overlap(run, hull)).map((gap) => ({ timeline, run: gap })),
  )
}

function runsOf(numbers: Iterable<bigint>): Run[] {
  return joined(Array.from(numbers, (number) => ({ first: number, last: number })))
}

/** Sorts runs and joins those that overlap or touch. */
function joined(runs: readonly Run[]): Run[] {
  const result: { first: bigint; last: bigint }[] = []
  for (const { first, last } of runs.toSorted(
    (a, b) => Number(a.first > b.first) - Number(a.first < b.first),
  )) {
    const previous = result.at(-1)
    if (previous === undefined || previous.last + 1n < first) result.push({ first, last })
    else if (previous.last < last) previous.last = last
  }
  return result
}

/** What is inside `bounds` and in none of the runs, which are all inside. */
function complement(runs: readonly Run[], bounds: Run): Run[] {
  const firsts = [bounds.first, ...runs.map(({ last }) => last + 1n)]
  const lasts = [...runs.map(({ first }) => first - 1n), bounds.last]
  return firsts
    .map((first, index) => ({ first, last: lasts[index] ?? bounds.last }))
    .filter((run) => !isEmpty(run))
}

/** From the first to the last number; empty when there is none. */
function hullOf(runs: readonly Run[]): Run {
  return { first: runs[0]?.first ?? 0n, last: runs.at(-1)?.last ?? -1n }
}

function overlap(a: Run, b: Run): Run {
  return { first: a.first > b.first ? a.first : b.first, last: a.last < b.last ? a.last : b.last }
}

function isEmpty({ first, last }: Run): boolean {
  return first > last
}

function describeRuns(timeline: TimelineId, runs: readonly Run[], segmentSize: WalSegmentSize): SegmentRun[] {
  return runs.map(({ first, last }) => ({
    timeline,
    first: segmentNameOf(timeline, first, segmentSize),
    last: segmentNameOf(timeline, last, segmentSize),
    count: last - first + 1n,
    startLsn: toLsn(first * BigInt(segmentSize)),
    endLsn: toLsn((last + 1n) * BigInt(segmentSize)),
  }))
}

import type { ArchiveSurvey } from '../archive/archive-inventory.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { listContents } from '../archive/archived-contents.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { SegmentRun, TimelineCoverage } from '../domain/wal-gaps.ts'
import { parseSegmentName, segmentNameOf, type WalSegmentSize } from '../domain/wal-segment.ts'

/** Of a gap so many names are asked for at each end: what is being archived is never more. */
const mostAsked = 64n
/** Segments are archived several at once, so that a later one may be there before an earlier one. */
const nearSegments = 16n
const arrivalMs = 3000

/**
 * The survey without the gaps that were none: a listing is not of one moment, and segments arrive while it is made. Asks
 * again for exactly what is missing, and a second time a little later for what lies near the newest WAL.
 */
export async function confirmGaps(
  survey: ArchiveSurvey,
  place: ArchivePlace,
  context: RunContext,
): Promise<ArchiveSurvey> {
  const confirmed = await askAgain(survey, () => true, { place, context })
  const isNear = nearNewest(place.cluster.walSegmentSize)
  if (!confirmed.timelines.some((coverage) => coverage.gaps.some((gap) => isNear(gap, coverage))))
    return confirmed
  await context.clock.sleep(arrivalMs, context.signal)
  return askAgain(confirmed, isNear, { place, context })
}

type Choice = (gap: SegmentRun, coverage: TimelineCoverage) => boolean

const nearNewest =
  (segmentSize: WalSegmentSize): Choice =>
  ({ endLsn }, { ranges }) =>
    endLsn + nearSegments * BigInt(segmentSize) >= (ranges.at(-1)?.endLsn ?? 0n)

interface AskTools {
  readonly place: ArchivePlace
  readonly context: RunContext
}

async function askAgain(survey: ArchiveSurvey, isAsked: Choice, tools: AskTools): Promise<ArchiveSurvey> {
  const arrived = new Set<string>()
  const timelines: TimelineCoverage[] = []
  for (const coverage of survey.timelines) {
    const gaps: SegmentRun[] = []
    for (const gap of coverage.gaps)
      gaps.push(...(isAsked(gap, coverage) ? await withoutArrived(gap, arrived, tools) : [gap]))
    timelines.push({ ...coverage, gaps })
  }
  return { ...survey, timelines, hasSegment: (name) => arrived.has(name) || survey.hasSegment(name) }
}

/** What is left of the gap. Adds what is there by now to `arrived`. */
async function withoutArrived(
  gap: SegmentRun,
  arrived: Set<string>,
  { place, context }: AskTools,
): Promise<readonly SegmentRun[]> {
  const size = place.cluster.walSegmentSize
  const [first, last] = [parseSegmentName(gap.first, size).number, parseSegmentName(gap.last, size).number]
  const left: SegmentRun[] = []
  let from = first
  for (const number of endsOf(first, last)) {
    const name = segmentNameOf(gap.timeline, number, size)
    const contents = await listContents(parseArchiveFileName(name), place, context)
    if (contents.length === 0) continue
    arrived.add(name)
    if (number > from) left.push(runOf(gap, { from, to: number - 1n }, size))
    from = number + 1n
  }
  if (from <= last) left.push(runOf(gap, { from, to: last }, size))
  return left
}

/** Numbers at both ends, ascending. */
function* endsOf(first: bigint, last: bigint): Generator<bigint> {
  for (let number = first; number <= last; number += 1n) {
    if (number - first >= mostAsked && last - number >= mostAsked) number = last - mostAsked + 1n
    yield number
  }
}

function runOf(
  { timeline }: SegmentRun,
  { from, to }: { readonly from: bigint; readonly to: bigint },
  size: WalSegmentSize,
): SegmentRun {
  const [first, last] = [segmentNameOf(timeline, from, size), segmentNameOf(timeline, to, size)]
  const { startLsn } = parseSegmentName(first, size)
  return {
    timeline,
    first,
    last,
    count: to - from + 1n,
    startLsn,
    endLsn: parseSegmentName(last, size).endLsn,
  }
}

import { isOperationError, type OperationError } from '../domain/operation-error.ts'
import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { segmentPath, type PathSegment } from '../domain/segment-path.ts'
import { timelineAt, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import { ChangedBlocks } from '../wal/changed-blocks.ts'
import { longHeaderLength, walPageSize } from '../wal/page-header.ts'
import type { SegmentContents } from '../wal/segment-contents.ts'
import { SegmentScanner } from '../wal/segment-scanner.ts'
import type { WalFacts } from '../wal/wal-facts.ts'
import { describePlace, type ArchivePlace } from './archive-place.ts'
import { findSegmentWal, type SegmentWal, type WalSites } from './find-segment-wal.ts'
import { gatherRecord } from './gather-record.ts'
import { inOrder } from '../platform/in-order.ts'
import { isAboutObject } from './object-trouble.ts'
import { readWalIndex, storeWalIndex } from './stored-wal-index.ts'
import { WalChain } from './wal-chain.ts'
import type { WalIndexName } from './wal-index-key.ts'

export interface ChangesRequest {
  /** Of the timeline that the server is on now. */
  readonly history: TimelineHistory
  /** The redo point of the backup to start from: the beginning of a record. */
  readonly from: { readonly timeline: TimelineId; readonly lsn: Lsn }
  /** The redo point of the backup that is being taken. The WAL before it is on the server's disk, if it is not archived. */
  readonly to: Lsn
  /** pg_wal of the running server. */
  readonly walFolder: string
}

export type CollectedChanges =
  | {
      readonly kind: 'proven'
      readonly changes: ChangedBlocks
      /** From one redo point to the other. */
      readonly walBytes: number
      readonly segmentCount: number
      /** Of how many segments a stored index told all that was needed. */
      readonly indexedCount: number
    }
  /** `reason` is for people: a clause, lower case. */
  | { readonly kind: 'unproven'; readonly reason: string }

/** SizeOfXLogShortPHD in access/xlog_internal.h. */
const shortHeaderLength = 24
/** Segments that are read at a time. */
const parallelReads = 2

/**
 * Everything that the WAL changes between two redo points: proven, when every record between them was read, along the way
 * that a recovery would take, each by its CRC and by its link to the one before it (R52). Otherwise why not: then only
 * reading everything tells what has changed.
 *
 * Throws what keeps it from looking at all, such as `store-unreachable`; damage is an answer.
 */
export async function collectChanges(
  request: ChangesRequest,
  place: ArchivePlace,
  context: RunContext,
): Promise<CollectedChanges> {
  try {
    return await collect(request, place, context)
  } catch (error) {
    if (isAnswer(error)) return unproven(error.message)
    throw error
  }
}

/** Whether a failure says something of the WAL, and not of the way to it. */
function isAnswer(error: unknown): error is OperationError {
  return (
    isAboutObject(error) ||
    isOperationError(error, 'target-unreachable') ||
    isOperationError(error, 'file-unreadable')
  )
}

/** The records that are wanted: both ends moved past page headers, to where records can begin. */
interface Stretch {
  readonly fromLsn: Lsn
  readonly untilLsn: Lsn
}

/** The contents of a segment of the path, and where they are from. */
interface ReadSegment {
  readonly name: string
  readonly contents: SegmentContents
  readonly wal: SegmentWal
  readonly isIndexed: boolean
}

async function collect(
  request: ChangesRequest,
  place: ArchivePlace,
  context: RunContext,
): Promise<CollectedChanges> {
  const { history, from, walFolder } = request
  const segmentSize = place.cluster.walSegmentSize
  const stretch = stretchOf(request, segmentSize)
  if (stretch.untilLsn < stretch.fromLsn)
    return unproven(`the WAL ends at ${formatLsn(request.to)}, before ${formatLsn(from.lsn)}`)
  const path = segmentPath(history, { from, to: stretch.untilLsn }, segmentSize)
  const sites = { place, walFolder, history }
  const changes = new ChangedBlocks()
  const chain = new WalChain<ReadSegment>(place.cluster, {
    readAgain: (record, segments) => gatherRecord(record, pagesOf(segments, context), context),
    take: (facts) => {
      changes.addAll(facts.changes)
      return factsProblem(facts)
    },
  })
  let [segmentCount, indexedCount] = [0, 0]
  for await (const read of inOrder(path, { limit: parallelReads, context }, (step, stepContext) =>
    readStep({ step, stretch, sites }, stepContext),
  )) {
    if (read.kind === 'unproven') return read
    const problem = await chain.add(read.segment)
    if (problem !== undefined) return unproven(problem)
    segmentCount += 1
    if (read.segment.isIndexed) indexedCount += 1
  }
  if (chain.unfinishedLsn !== undefined)
    return unproven(`the record at ${formatLsn(chain.unfinishedLsn)} goes on behind ${formatLsn(request.to)}`)
  const walBytes = Number(request.to - from.lsn)
  return { kind: 'proven', changes, walBytes, segmentCount, indexedCount }
}

/** Why changes are not all that happened. */
function factsProblem({ unknown, control }: WalFacts): string | undefined {
  if (unknown !== undefined) {
    const { lsn, rmid, info, why } = unknown
    return `has a record at ${formatLsn(lsn)} that this version cannot read: ${why} (resource manager ${rmid}, operation ${info})`
  }
  for (const record of control) {
    if (record.kind === 'parameter-change' && record.walLevel === 'minimal')
      return `says at ${formatLsn(record.lsn)} that wal_level was lowered to minimal, where changes are not logged`
  }
  return undefined
}

interface Step {
  readonly step: PathSegment
  readonly stretch: Stretch
  readonly sites: WalSites
}

type StepRead =
  | { readonly kind: 'read'; readonly segment: ReadSegment }
  | { readonly kind: 'unproven'; readonly reason: string }

async function readStep({ step, stretch, sites }: Step, context: RunContext): Promise<StepRead> {
  const wal = await findSegmentWal(step, sites, context)
  if (wal === undefined) {
    const names = step.candidates.map(({ name }) => name).join(' or ')
    return unproven(
      `segment ${names} is neither archived for ${describePlace(sites.place)} nor in "${sites.walFolder}"`,
    )
  }
  const { name } = wal.name
  const indexName = indexNameOf({ step, stretch, sites }, wal)
  const indexed =
    indexName && (await readWalIndex({ ...indexName, isChangesOnly: true }, sites.place, context))
  if (indexed !== undefined) return readAs({ name, contents: indexed, wal, isIndexed: true }, sites)
  const { contents, problem } = await readContents({ step, stretch, sites }, wal, context)
  if (problem !== undefined) return unproven(`segment ${name} ${problem}`)
  if (indexName !== undefined) await storeWalIndex({ ...indexName, contents }, sites.place, context)
  return readAs({ name, contents, wal, isIndexed: false }, sites)
}

/** Unless its pages are of a timeline that the way does not go along there. */
function readAs(segment: ReadSegment, { history }: WalSites): StepRead {
  const { name, contents, wal } = segment
  const first = timelineAt(history, contents.startLsn)
  const isOnTheWay = contents.timeline >= first && contents.timeline <= wal.name.timeline
  // Of one that has no page that could be read something better is said later.
  if (isOnTheWay || contents.major === undefined) return { kind: 'read', segment }
  return unproven(`segment ${name} holds pages of timeline ${contents.timeline}`)
}

/** The index that may tell of the segment: of its only archived content, when all of it belongs to the stretch. */
function indexNameOf({ step, stretch, sites }: Step, { name, digest }: SegmentWal): WalIndexName | undefined {
  const part = partOf(stretch, step, sites.place)
  const isWhole = part.fromLsn === undefined && part.untilLsn === undefined
  return digest === undefined || !isWhole ? undefined : { name, digest }
}

interface ScannedStep {
  readonly contents: SegmentContents
  readonly problem: string | undefined
}

/** Scans the part of a segment that belongs to the stretch, and looks whether the stretch begins and ends with records. */
async function readContents(
  { step, stretch, sites }: Step,
  wal: SegmentWal,
  context: RunContext,
): Promise<ScannedStep> {
  const sizeBytes = sites.place.cluster.walSegmentSize
  const { startLsn, fromLsn, untilLsn } = partOf(stretch, step, sites.place)
  const scanner = new SegmentScanner({ startLsn, sizeBytes, fromLsn, untilLsn })
  const scanners = [scanner]
  if (fromLsn !== undefined) scanners.push(new SegmentScanner({ startLsn, sizeBytes, untilLsn: fromLsn }))
  const endOffset = untilLsn === undefined ? sizeBytes : Number(untilLsn - startLsn) + 1
  for await (const pages of wal.pages(endOffset, context)) {
    for (const each of scanners) each.push(pages)
    if (scanner.hasEnded) break
  }
  const [contents = scanner.finish(), before] = scanners.map((each) => each.finish())
  const problem = boundaryProblem(before, fromLsn) ?? boundaryProblem(contents, untilLsn)
  return { contents, problem }
}

/** Where the stretch begins and ends in a segment; undefined where the segment's own ends are. */
function partOf(
  { fromLsn, untilLsn }: Stretch,
  { number }: PathSegment,
  { cluster: { walSegmentSize } }: ArchivePlace,
): Partial<Stretch> & { readonly startLsn: Lsn } {
  const size = BigInt(walSegmentSize)
  const startLsn = toLsn(number * size)
  return {
    startLsn,
    ...(fromLsn > startLsn && { fromLsn }),
    ...(untilLsn < startLsn + size && { untilLsn }),
  }
}

/** Why the contents do not end where they were to end, with a record. */
function boundaryProblem(contents: SegmentContents | undefined, lsn: Lsn | undefined): string | undefined {
  if (contents === undefined || lsn === undefined) return undefined
  const { end } = contents
  if (end.reason !== 'segments-exhausted') {
    return `cannot be read from ${formatLsn(end.lsn)} to ${formatLsn(lsn)}: ${end.detail}`
  }
  return end.lsn === lsn ? undefined : `has no record that begins at ${formatLsn(lsn)}`
}

function* pagesOf(
  segments: readonly ReadSegment[],
  context: RunContext,
): Generator<{ startLsn: Lsn; pages: AsyncIterable<Uint8Array> }, void, undefined> {
  for (const { contents, wal } of segments) {
    yield { startLsn: contents.startLsn, pages: wal.pages(contents.segmentSize, context) }
  }
}

function stretchOf({ from, to }: ChangesRequest, segmentSize: number): Stretch {
  // The end of a whole segment is the end of its records: nothing of the next one is needed.
  const isWhole = to % BigInt(segmentSize) === 0n
  return {
    fromLsn: recordPlaceAt(from.lsn, segmentSize),
    untilLsn: isWhole ? to : recordPlaceAt(to, segmentSize),
  }
}

/** Where the first record at or behind this place can begin: behind the header, at the beginning of a page. */
function recordPlaceAt(lsn: Lsn, segmentSize: number): Lsn {
  if (lsn % BigInt(walPageSize) !== 0n) return lsn
  const isSegment = lsn % BigInt(segmentSize) === 0n
  return toLsn(lsn + BigInt(isSegment ? longHeaderLength : shortHeaderLength))
}

const unproven = (reason: string): { readonly kind: 'unproven'; readonly reason: string } => ({
  kind: 'unproven',
  reason,
})

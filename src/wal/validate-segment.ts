import assert from 'node:assert/strict'
import { formatLsn, type Lsn } from '../domain/lsn.ts'
import { isTimelineId, type TimelineId } from '../domain/timeline.ts'
import { timelineAt, type TimelineHistory } from '../domain/timeline-history.ts'
import {
  isWalSegmentSize,
  parseSegmentName,
  type WalSegment,
  type WalSegmentSize,
} from '../domain/wal-segment.ts'
import {
  longHeaderLength,
  magicOfMajor,
  majorOfMagic,
  pageFlags,
  readSegmentHeader,
  walPageSize,
  type PageHeader,
  type SegmentIdentity,
  type WalMajor,
} from './page-header.ts'

/** What a file under a segment's name must be, for PostgreSQL to replay it and not to take it for the end of WAL (M4). */
export interface ExpectedSegment {
  /** 24 hex digits, or those and `.partial`: the same rules hold for both. */
  readonly name: string
  readonly segmentSize: WalSegmentSize
  readonly systemIdentifier: bigint
  readonly major: WalMajor
  /** The history of the name's timeline. Undefined when it is not at hand: see `timelineProblem`. */
  readonly history: TimelineHistory | undefined
}

/** The file's first page, or all of it, and how long the file is. */
export interface SegmentFile {
  readonly firstPage: Uint8Array
  readonly sizeBytes: number
}

/** `reason` goes on after the segment's name: "is 0 bytes long, expected 16777216". */
export type SegmentVerdict =
  | { readonly kind: 'valid' }
  | { readonly kind: 'invalid'; readonly reason: string }

/** What a segment says about itself. */
export interface SegmentOrigin {
  /** Undefined when a version that we do not know wrote it. */
  readonly major: WalMajor | undefined
  readonly systemIdentifier: bigint
  readonly segmentSize: WalSegmentSize
  readonly timeline: TimelineId
  readonly startLsn: Lsn
}

type Header = PageHeader & SegmentIdentity

/** Whether this file may be archived, or handed to recovery, under the expected name (R25, M4). Looks at its first page only. */
export function validateSegment(file: SegmentFile, expected: ExpectedSegment): SegmentVerdict {
  const segment = parseSegmentName(expected.name.replace(/\.partial$/, ''), expected.segmentSize)
  const reason = sizeProblem(file, expected) ?? headerProblem(file.firstPage, expected, segment)
  return reason === undefined ? { kind: 'valid' } : { kind: 'invalid', reason }
}

/**
 * Reads who wrote a segment, without expecting anything. Undefined when the page is not the first page of a segment.
 * The timeline is the one of the page's first record: the first segment of a timeline often begins on an older one.
 */
export function readSegmentIdentity(firstPage: Uint8Array): SegmentOrigin | undefined {
  if (firstPage.length < longHeaderLength) return undefined
  const { magic, flags, timeline, address, systemIdentifier, segmentSize } = readSegmentHeader(
    viewOf(firstPage),
  )
  // All versions from 9.3 on have this layout and a magic from 0xD075 to 0xD1xx; before, the address was in two halves.
  const isSegment = magic > 0xd075 && magic < 0xd200 && isLongHeader(flags)
  if (!isSegment || !isTimelineId(timeline) || !isWalSegmentSize(segmentSize)) return undefined
  if (address % BigInt(segmentSize) !== 0n) return undefined
  return { major: majorOfMagic(magic), systemIdentifier, segmentSize, timeline, startLsn: address }
}

function sizeProblem(
  { firstPage, sizeBytes }: SegmentFile,
  { segmentSize }: ExpectedSegment,
): string | undefined {
  if (sizeBytes !== segmentSize) return `is ${sizeBytes} bytes long, expected ${segmentSize}`
  assert(firstPage.length >= walPageSize, `${firstPage.length} bytes are not a WAL page`)
  return undefined
}

function headerProblem(
  firstPage: Uint8Array,
  expected: ExpectedSegment,
  claim: WalSegment,
): string | undefined {
  if (firstPage.subarray(0, walPageSize).every((byte) => byte === 0)) {
    return 'begins with a page of zeros, expected a WAL page header'
  }
  const header = readSegmentHeader(viewOf(firstPage))
  return (
    versionProblem(header, expected) ??
    clusterProblem(header, expected) ??
    positionProblem(header, claim) ??
    timelineProblem(header, claim, expected.history)
  )
}

function versionProblem({ magic, flags }: Header, { major }: ExpectedSegment): string | undefined {
  if (magic !== magicOfMajor(major)) {
    const found = majorOfMagic(magic)
    const writer = found === undefined ? 'an unknown version or is no WAL' : `PostgreSQL ${found}`
    return `comes from ${writer} (page magic ${hex4(magic)}), expected PostgreSQL ${major} (${hex4(magicOfMajor(major))})`
  }
  if (!isLongHeader(flags)) {
    return `does not begin with the header of a segment (page flags ${hex4(flags)}, expected ${hex4(pageFlags.long)})`
  }
  return undefined
}

function clusterProblem(header: Header, expected: ExpectedSegment): string | undefined {
  if (header.systemIdentifier !== expected.systemIdentifier) {
    return `belongs to the cluster with system identifier ${header.systemIdentifier}, expected ${expected.systemIdentifier}`
  }
  if (header.segmentSize !== expected.segmentSize) {
    return `belongs to a cluster with WAL segments of ${header.segmentSize} bytes, expected ${expected.segmentSize}`
  }
  if (header.pageSize !== walPageSize) {
    return `belongs to a server with WAL pages of ${header.pageSize} bytes, expected ${walPageSize}`
  }
  return undefined
}

function positionProblem({ address }: Header, { startLsn }: WalSegment): string | undefined {
  if (address === startLsn) return undefined
  return `holds the WAL from ${formatLsn(address)} on, expected ${formatLsn(startLsn)} under this name`
}

/**
 * A promotion copies the old timeline's last segment up to the fork (XLogInitNewTimeline in access/transam/xlog.c), page
 * headers included: the first page of a timeline's first segment names the timeline that owned its address, unless the
 * fork is at the very start of the segment. That is what the history says; no segment before the fork bears the new
 * timeline's name. Without a history all that can be known is that ancestors have smaller numbers.
 */
function timelineProblem(
  { timeline, address }: Header,
  claim: WalSegment,
  history?: TimelineHistory,
): string | undefined {
  if (history === undefined) {
    const isPossible = timeline >= 1 && timeline <= claim.timeline
    return isPossible
      ? undefined
      : `begins on timeline ${timeline}, expected ${claim.timeline} or an ancestor of it`
  }
  assert(history.timeline === claim.timeline, `${claim.name} was checked by the history of another timeline`)
  const fork = history.ancestors.at(-1)?.endLsn
  if (fork !== undefined && fork >= claim.endLsn) {
    return `ends at ${formatLsn(claim.endLsn)}, before timeline ${claim.timeline} began at ${formatLsn(fork)}`
  }
  const owner = timelineAt(history, address)
  return timeline === owner ? undefined : `begins on timeline ${timeline}, expected ${owner}`
}

function isLongHeader(flags: number): boolean {
  return (flags & pageFlags.long) !== 0 && (flags & ~pageFlags.all) === 0
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function hex4(value: number): string {
  return `0x${value.toString(16).toUpperCase().padStart(4, '0')}`
}

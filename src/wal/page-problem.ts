import { formatLsn, type Lsn } from '../domain/lsn.ts'
import { isWalSegmentSize } from '../domain/wal-segment.ts'
import {
  majorOfMagic,
  pageFlags,
  readSegmentHeader,
  walPageSize,
  type PageHeader,
  type WalMajor,
} from './page-header.ts'
import type { WalProblem } from './wal-end.ts'

/** What the pages before say about a page. */
interface ExpectedPage {
  readonly lsn: Lsn
  readonly isFirstOfSegment: boolean
  /** Undefined for the very first page. */
  readonly major: WalMajor | undefined
  /** Of the page before; 0 for the very first page. */
  readonly timeline: number
}

/** Why a page cannot be read: the checks of XLogReaderValidatePageHeader in access/transam/xlogreader.c. */
export function pageProblem(header: PageHeader, expected: ExpectedPage): WalProblem | undefined {
  const { magic, flags, timeline, address } = header
  if (magic === 0 && address === 0n) return { reason: 'zeroes', detail: 'the page was never written' }
  const major = majorOfMagic(magic)
  if (major === undefined || major !== (expected.major ?? major)) return invalid('magic number', magic)
  if (!areFlagsPossible(flags, expected.isFirstOfSegment)) return invalid('flags', flags)
  if (address !== expected.lsn) {
    return { reason: 'page-recycled', detail: `the page is the one of ${formatLsn(address)}` }
  }
  // A timeline's number is always greater than its parent's, so it never falls along one history.
  return timeline < expected.timeline ? invalid('timeline', timeline) : undefined
}

/**
 * Why a segment whose first page is right cannot be read: its own header says otherwise. `segment` begins with the first
 * page; `sizeBytes` is the length of the whole.
 */
export function segmentProblem(
  segment: DataView,
  startLsn: Lsn,
  sizeBytes = segment.byteLength,
): WalProblem | undefined {
  const { segmentSize, pageSize } = readSegmentHeader(segment)
  if (!isWalSegmentSize(segmentSize) || startLsn % BigInt(segmentSize) !== 0n) {
    return invalid('segment size', segmentSize)
  }
  if (pageSize !== walPageSize) return invalid('page size', pageSize)
  if (sizeBytes === segmentSize) return undefined
  return { reason: 'segment-truncated', detail: `${sizeBytes} of ${segmentSize} bytes were given` }
}

function areFlagsPossible(flags: number, isFirstOfSegment: boolean): boolean {
  return (flags & ~pageFlags.all) === 0 && ((flags & pageFlags.long) !== 0) === isFirstOfSegment
}

function invalid(what: string, found: number): WalProblem {
  return { reason: 'page-invalid', detail: `the page header has the ${what} ${found}` }
}

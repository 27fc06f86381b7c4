import assert from 'node:assert/strict'
import type { Brand } from './brand.ts'
import { toLsn, type Lsn, type LsnRange } from './lsn.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'
import { formatTimelineHex, parseTimelineHex, type TimelineId } from './timeline.ts'

/** Bytes in one WAL segment file of a cluster, chosen at initdb: a power of two from 1 MiB to 1 GiB. */
export type WalSegmentSize = Brand<number, 'WalSegmentSize'>

/** 24 upper-case hex digits: timeline, then the segment's number in two parts that depend on the segment size (M14). */
export type WalSegmentName = Brand<string, 'WalSegmentName'>

export interface WalSegment {
  readonly name: WalSegmentName
  readonly timeline: TimelineId
  /** Counts segments from LSN 0, whatever the timeline. */
  readonly number: bigint
  readonly startLsn: Lsn
  /** The first byte after the segment. */
  readonly endLsn: Lsn
}

const mebibyte = 1024 * 1024
const bytesPerLogId = 0x1_0000_0000n
const lsnCount = 0x1_0000_0000_0000_0000n
/** At the smallest segment size, 1 MiB; at every other size there are fewer. */
const mostSegmentsPerLogId = 0x1000
const writtenName = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/

export function isWalSegmentSize(bytes: number): bytes is WalSegmentSize {
  return bytes >= mebibyte && bytes <= 1024 * mebibyte && Number.isInteger(Math.log2(bytes))
}

/** Checks a size that a server, a control file or a page header gave. */
export function toWalSegmentSize(bytes: number): WalSegmentSize {
  if (!isWalSegmentSize(bytes)) {
    throw new OperationError(
      'damaged',
      `WAL segment size ${bytes} was found where a power of two from 1 MiB to 1 GiB was expected`,
    )
  }
  return bytes
}

/** True for what any segment size allows; `parseSegmentName` knows what one size allows. */
export function isWalSegmentName(text: string): text is WalSegmentName {
  const [, timeline = '', , index = ''] = writtenName.exec(text) ?? []
  return parseTimelineHex(timeline) !== undefined && Number.parseInt(index, 16) < mostSegmentsPerLogId
}

export function segmentNumberAt(lsn: Lsn, segmentSize: WalSegmentSize): bigint {
  return lsn / BigInt(segmentSize)
}

/** The segment that contains the byte at `lsn`. */
export function segmentNameAt(timeline: TimelineId, lsn: Lsn, segmentSize: WalSegmentSize): WalSegmentName {
  return segmentNameOf(timeline, segmentNumberAt(lsn, segmentSize), segmentSize)
}

/** The segment that contains the last byte before `lsn`, as stop LSNs need it. Servers disagree on it by version (M13). */
export function segmentNameEndingAt(
  timeline: TimelineId,
  lsn: Lsn,
  segmentSize: WalSegmentSize,
): WalSegmentName {
  assert(lsn > 0n, 'no segment ends at LSN 0/0')
  return segmentNameAt(timeline, toLsn(lsn - 1n), segmentSize)
}

export function segmentNameOf(
  timeline: TimelineId,
  number: bigint,
  segmentSize: WalSegmentSize,
): WalSegmentName {
  const perLogId = bytesPerLogId / BigInt(segmentSize)
  const name = formatTimelineHex(timeline) + hex8(number / perLogId) + hex8(number % perLogId)
  assert(isWalSegmentName(name), `${number} is not the number of a WAL segment`)
  return name
}

/** Refuses names that clusters of this segment size never have (M14). */
export function parseSegmentName(text: string, segmentSize: WalSegmentSize): WalSegment {
  const size = BigInt(segmentSize)
  const perLogId = bytesPerLogId / size
  const [, timelineHex = '', logId = '0', index = '0'] = writtenName.exec(text) ?? []
  const timeline = parseTimelineHex(timelineHex)
  const number = BigInt(`0x${logId}`) * perLogId + BigInt(`0x${index}`)
  // The last segment of all would end beyond the greatest LSN: no server ever fills it.
  const isPossible = BigInt(`0x${index}`) < perLogId && (number + 1n) * size < lsnCount
  if (timeline === undefined || !isPossible || !isWalSegmentName(text)) {
    throw new OperationError(
      'usage',
      `${quote(text)} is not the name of a WAL segment of ${segmentSize / mebibyte} MiB`,
      { hint: 'Check the name, and that the cluster has the segment size that is configured for it.' },
    )
  }
  return {
    name: text,
    timeline,
    number,
    startLsn: toLsn(number * size),
    endLsn: toLsn((number + 1n) * size),
  }
}

/** The segment after this one on the same timeline. */
export function nextSegmentName(name: WalSegmentName, segmentSize: WalSegmentSize): WalSegmentName {
  const { timeline, number } = parseSegmentName(name, segmentSize)
  return segmentNameOf(timeline, number + 1n, segmentSize)
}

/** Names every segment that holds a byte of the range, in order. An empty range has none. */
export function* segmentRange(
  timeline: TimelineId,
  { from, to }: LsnRange,
  segmentSize: WalSegmentSize,
): Generator<WalSegmentName, void, undefined> {
  if (from >= to) return
  for (let number = segmentNumberAt(from, segmentSize); number * BigInt(segmentSize) < to; number += 1n) {
    yield segmentNameOf(timeline, number, segmentSize)
  }
}

function hex8(value: bigint): string {
  return value.toString(16).toUpperCase().padStart(8, '0')
}

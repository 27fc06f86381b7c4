import { formatLsn } from '../domain/lsn.ts'
import type { WholeRecord } from './add-record.ts'
import { longHeaderLength, shortHeaderLength, walPageSize } from './page-header.ts'
import type { SegmentContents } from './segment-contents.ts'

/** How the WAL goes on from one segment into the next. */
export type SegmentJoint =
  /** `record` is the one that crosses, if any; `addRecord` checks it and takes its facts. */
  | { readonly kind: 'joined'; readonly record: WholeRecord | undefined }
  /** A record crosses of which more than `mostCarriedBytes` are in one of them: both must be read to know it. */
  | { readonly kind: 'too-long' }
  /** The second one does not go on where the first one ends. `detail` is for people. */
  | { readonly kind: 'broken'; readonly detail: string }

/** Whether WalRecordReader, given both segments, would read from the one into the other, and what it would read between. */
export function joinSegments(before: SegmentContents, after: SegmentContents): SegmentJoint {
  const detail = neighbourProblem(before, after) ?? headProblem(before, after) ?? linkProblem(before, after)
  if (detail !== undefined) return { kind: 'broken', detail }
  return after.head?.state === 'whole' ? joinRecord(before, after) : { kind: 'joined', record: undefined }
}

function joinRecord({ tail }: SegmentContents, { head, major }: SegmentContents): SegmentJoint {
  if (tail?.bytes === undefined || head?.bytes === undefined || major === undefined)
    return { kind: 'too-long' }
  const bytes = Buffer.concat([tail.bytes, head.bytes])
  // It goes on in a third segment.
  if (bytes.length < tail.totalLength) return { kind: 'too-long' }
  return { kind: 'joined', record: { bytes, lsn: tail.lsn, endLsn: head.endLsn, major } }
}

function neighbourProblem(before: SegmentContents, after: SegmentContents): string | undefined {
  const endLsn = before.startLsn + BigInt(before.segmentSize)
  if (after.startLsn !== endLsn) return 'the segments do not follow each other'
  if (after.major === undefined || after.major !== before.major) return 'they are not of one major version'
  if (after.systemIdentifier !== before.systemIdentifier) return 'they are not of one cluster'
  if (after.timeline < before.timeline) return 'the timeline falls'
  const { reason, lsn, detail } = before.end
  const isReadToItsEnd = reason === 'record-unfinished' || (reason === 'segments-exhausted' && lsn === endLsn)
  return isReadToItsEnd ? undefined : detail
}

function headProblem(before: SegmentContents, { head }: SegmentContents): string | undefined {
  const missing = missingBehind(before)
  if (head === undefined) {
    return missing === 0 ? undefined : `${missing} bytes of a record are missing in the second one`
  }
  if (head.state === 'abandoned') return undefined
  if (head.state === 'broken') return 'pages of the second one contradict each other about its first record'
  if (head.missing === missing) return undefined
  return `the second one goes on with ${head.missing} bytes of a record, expected ${missing}`
}

/** How many bytes of a record are still to come when a segment ends. */
function missingBehind({ tail, head, firstRecord, segmentSize }: SegmentContents): number {
  if (tail !== undefined) return tail.totalLength - tail.length
  if (head?.state !== 'whole' || firstRecord !== undefined) return 0
  const headers = (segmentSize / walPageSize - 1) * shortHeaderLength + longHeaderLength
  return Math.max(0, head.missing - (segmentSize - headers))
}

/** A record that was given up is not the one that the next record names. */
function linkProblem(before: SegmentContents, { head, firstRecord }: SegmentContents): string | undefined {
  const { tail } = before
  const expected = head?.state === 'abandoned' && tail !== undefined ? tail.previousLsn : before.lastRecordLsn
  const found = firstRecord?.prevLsn
  if (expected === undefined || found === undefined || found === expected) return undefined
  return `the first record of the second one names ${formatLsn(found)} before it, expected ${formatLsn(expected)}`
}

import type { BinaryReader } from '../codec/binary-reader.ts'
import type { BinaryWriter } from '../codec/binary-writer.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import { isWalSegmentSize } from '../domain/wal-segment.ts'
import type { WalMajor } from '../wal/page-header.ts'
import {
  mostCarriedBytes,
  type SegmentContents,
  type SegmentHead,
  type SegmentTail,
} from '../wal/segment-contents.ts'
import type { WalEnd, WalEndReason } from '../wal/wal-end.ts'
import { mostRecords, readPlace, readU32, writePlace, type IndexedSegment } from './wal-index-numbers.ts'

/** All but the facts. */
export type SegmentFrame = Omit<SegmentContents, 'facts' | 'major'> & { readonly major: WalMajor }

/** Their numbers are those of the format: only add at the end. */
const endReasons: readonly WalEndReason[] = [
  'segments-exhausted',
  'record-unfinished',
  'segment-gap',
  'segment-truncated',
  'zeroes',
  'page-recycled',
  'page-invalid',
  'record-length',
  'record-manager',
  'record-link',
  'record-crc',
  'record-layout',
  'record-continuation',
]
const headStates: readonly SegmentHead['state'][] = ['whole', 'abandoned', 'broken']
const majors: readonly WalMajor[] = [14, 15, 16, 17, 18]
const firstMajor = 14
const largestDetailBytes = 1000

export function writeSegmentFrame(writer: BinaryWriter, frame: SegmentFrame): void {
  writer.u64(frame.startLsn).u32(frame.segmentSize).u8(frame.major)
  writer.u64(frame.systemIdentifier).u32(frame.timeline).varint(frame.recordCount)
  writer.u8(endReasons.indexOf(frame.end.reason))
  writePlace(writer, frame.end.lsn, frame)
  writer.text(frame.end.detail.slice(0, largestDetailBytes / 4))
  writeFirst(writer, frame)
  writeOptionalPlace(writer, frame.lastRecordLsn, frame)
  writeHead(writer, frame)
  writeTail(writer, frame)
}

export function readSegmentFrame(reader: BinaryReader): SegmentFrame {
  const startLsn = toLsn(reader.u64())
  const segmentSize = reader.u32()
  const isPossible = isWalSegmentSize(segmentSize) && startLsn % BigInt(segmentSize) === 0n
  if (!isPossible || startLsn + BigInt(segmentSize) >= 1n << 64n) {
    throw reader.damage(`found a segment of ${segmentSize} bytes at ${startLsn}`)
  }
  const segment = { startLsn, segmentSize }
  const identity = {
    major: readOneOf(reader, majors, firstMajor),
    systemIdentifier: reader.u64(),
    timeline: reader.u32(),
    recordCount: readRecordCount(reader, segment),
  }
  return {
    ...segment,
    ...identity,
    end: readEnd(reader, segment),
    firstRecord: readFirst(reader, segment),
    lastRecordLsn: readOptionalPlace(reader, segment),
    head: readHead(reader, segment),
    tail: readTail(reader, segment),
  }
}

function readRecordCount(reader: BinaryReader, segment: IndexedSegment): number {
  const count = reader.varint()
  if (count > mostRecords(segment)) throw reader.damage(`found ${count} records`)
  return count
}

function readEnd(reader: BinaryReader, segment: IndexedSegment): WalEnd {
  return {
    reason: readOneOf(reader, endReasons),
    lsn: readPlace(reader, segment),
    detail: reader.text(largestDetailBytes),
  }
}

/** 0: none. 1: only where it begins. 2: and the record that it names before it. */
function writeFirst(writer: BinaryWriter, { firstRecord, ...segment }: SegmentFrame): void {
  if (firstRecord === undefined) {
    writer.u8(0)
    return
  }
  writer.u8(firstRecord.prevLsn === undefined ? 1 : 2)
  writePlace(writer, firstRecord.lsn, segment)
  if (firstRecord.prevLsn !== undefined) writer.u64(firstRecord.prevLsn)
}

function readFirst(reader: BinaryReader, segment: IndexedSegment): SegmentFrame['firstRecord'] {
  const told = readFlag(reader, 2)
  if (told === 0) return undefined
  const lsn = readPlace(reader, segment)
  return { lsn, prevLsn: told === 2 ? toLsn(reader.u64()) : undefined }
}

/** 0: none. Otherwise 1 and the number of its state, from 0 on. */
function writeHead(writer: BinaryWriter, { head, ...segment }: SegmentFrame): void {
  writer.u8(head === undefined ? 0 : 1 + headStates.indexOf(head.state))
  if (head === undefined) return
  writer.varint(head.missing)
  writePlace(writer, head.endLsn, segment)
  writeCarried(writer, head.bytes)
}

function readHead(reader: BinaryReader, segment: IndexedSegment): SegmentHead | undefined {
  const told = readFlag(reader, headStates.length)
  const state = headStates[told - 1]
  if (state === undefined) return undefined
  return {
    state,
    missing: readU32(reader),
    endLsn: readPlace(reader, segment),
    bytes: readCarried(reader),
  }
}

function writeTail(writer: BinaryWriter, { tail, ...segment }: SegmentFrame): void {
  writer.u8(tail === undefined ? 0 : 1)
  if (tail === undefined) return
  writePlace(writer, tail.lsn, segment)
  writeOptionalPlace(writer, tail.previousLsn, segment)
  writer.varint(tail.totalLength)
  writer.varint(tail.length)
  writeCarried(writer, tail.bytes)
}

function readTail(reader: BinaryReader, segment: IndexedSegment): SegmentTail | undefined {
  if (readFlag(reader, 1) === 0) return undefined
  return {
    lsn: readPlace(reader, segment),
    previousLsn: readOptionalPlace(reader, segment),
    totalLength: readU32(reader),
    length: readU32(reader),
    bytes: readCarried(reader),
  }
}

function writeCarried(writer: BinaryWriter, bytes: Uint8Array | undefined): void {
  writer.u8(bytes === undefined ? 0 : 1)
  if (bytes !== undefined) writer.sizedBytes(bytes)
}

function readCarried(reader: BinaryReader): Uint8Array | undefined {
  return readFlag(reader, 1) === 0 ? undefined : new Uint8Array(reader.sizedBytes(mostCarriedBytes))
}

function writeOptionalPlace(writer: BinaryWriter, lsn: Lsn | undefined, segment: IndexedSegment): void {
  writer.u8(lsn === undefined ? 0 : 1)
  if (lsn !== undefined) writePlace(writer, lsn, segment)
}

function readOptionalPlace(reader: BinaryReader, segment: IndexedSegment): Lsn | undefined {
  return readFlag(reader, 1) === 0 ? undefined : readPlace(reader, segment)
}

function readFlag(reader: BinaryReader, most: number): number {
  const flag = reader.u8()
  if (flag > most) throw reader.damage(`expected at most ${most}, found ${flag}`)
  return flag
}

function readOneOf<Value>(reader: BinaryReader, values: readonly Value[], first = 0): Value {
  const number = reader.u8()
  const value = values[number - first]
  if (value === undefined) throw reader.damage(`expected a number of ${values.length}, found ${number}`)
  return value
}

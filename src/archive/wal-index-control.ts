import type { BinaryReader } from '../codec/binary-reader.ts'
import type { BinaryWriter } from '../codec/binary-writer.ts'
import { toLsn } from '../domain/lsn.ts'
import { isTimelineId, type TimelineId } from '../domain/timeline.ts'
import type { ControlRecord } from '../wal/control-records.ts'
import type { PlacedControlRecord, UnknownRecord } from '../wal/wal-facts.ts'
import { readPlace, writePlace, type IndexedSegment } from './wal-index-numbers.ts'

/** Their numbers are those of the format: only add at the end. */
const kinds = [
  'checkpoint',
  'restore-point',
  'end-of-recovery',
  'parameter-change',
  'full-page-writes-change',
  'segment-switch',
] as const satisfies readonly ControlRecord['kind'][]
const walLevels = ['minimal', 'replica', 'logical'] as const
const largestTextBytes = 256
const fewestBytes = 3

/** Each: where it begins, where it ends, its kind, and what the kind has. */
export function writeControl(
  writer: BinaryWriter,
  control: readonly PlacedControlRecord[],
  segment: IndexedSegment,
): void {
  writer.varint(control.length)
  for (const record of control) {
    writePlace(writer, record.lsn, segment)
    writePlace(writer, record.endLsn, segment)
    writer.u8(kinds.indexOf(record.kind))
    writeKind(writer, record)
  }
}

export function readControl(reader: BinaryReader, segment: IndexedSegment): PlacedControlRecord[] {
  const count = reader.count(fewestBytes)
  return Array.from({ length: count }, () => {
    const place = { lsn: readPlace(reader, segment), endLsn: readPlace(reader, segment) }
    return { ...readKind(reader), ...place }
  })
}

function writeKind(writer: BinaryWriter, record: ControlRecord): void {
  switch (record.kind) {
    case 'checkpoint':
      writer.u8((record.isShutdown ? 1 : 0) + (record.hasFullPageWrites ? 2 : 0))
      writer.u64(record.redoLsn).u32(record.timeline).u32(record.previousTimeline)
      writer.u64(BigInt.asUintN(64, record.time))
      return
    case 'restore-point':
      writer.u64(BigInt.asUintN(64, record.time)).text(record.name)
      return
    case 'end-of-recovery':
      writer.u64(BigInt.asUintN(64, record.time)).u32(record.timeline).u32(record.previousTimeline)
      return
    case 'parameter-change':
      writer.u8(walLevels.indexOf(record.walLevel))
      return
    case 'full-page-writes-change':
      writer.u8(record.hasFullPageWrites ? 1 : 0)
      return
    case 'segment-switch':
  }
}

function readKind(reader: BinaryReader): ControlRecord {
  const kind = kinds[reader.u8()]
  if (kind === undefined) throw reader.damage('found an unknown kind of control record')
  switch (kind) {
    case 'checkpoint':
      return readCheckpoint(reader)
    case 'restore-point':
      return { kind, time: readTime(reader), name: reader.text(largestTextBytes) }
    case 'end-of-recovery':
      return {
        kind,
        time: readTime(reader),
        timeline: readTimeline(reader),
        previousTimeline: readTimeline(reader),
      }
    case 'parameter-change': {
      const walLevel = walLevels[reader.u8()]
      if (walLevel === undefined) throw reader.damage('found an unknown wal_level')
      return { kind, walLevel }
    }
    case 'full-page-writes-change':
      return { kind, hasFullPageWrites: readBits(reader, 1) === 1 }
    case 'segment-switch':
      return { kind }
  }
}

function readCheckpoint(reader: BinaryReader): ControlRecord {
  const bits = readBits(reader, 3)
  return {
    kind: 'checkpoint',
    isShutdown: (bits & 1) !== 0,
    hasFullPageWrites: (bits & 2) !== 0,
    redoLsn: toLsn(reader.u64()),
    timeline: readTimeline(reader),
    previousTimeline: readTimeline(reader),
    time: readTime(reader),
  }
}

/** 0: none. 1: where it is, its resource manager and operation, and why it is not known. */
export function writeUnknown(
  writer: BinaryWriter,
  unknown: UnknownRecord | undefined,
  segment: IndexedSegment,
): void {
  writer.u8(unknown === undefined ? 0 : 1)
  if (unknown === undefined) return
  writePlace(writer, unknown.lsn, segment)
  writer
    .u8(unknown.rmid)
    .u8(unknown.info)
    .text(unknown.why.slice(0, largestTextBytes / 4))
}

export function readUnknown(reader: BinaryReader, segment: IndexedSegment): UnknownRecord | undefined {
  if (readBits(reader, 1) === 0) return undefined
  return {
    lsn: readPlace(reader, segment),
    rmid: reader.u8(),
    info: reader.u8(),
    why: reader.text(largestTextBytes),
  }
}

function readBits(reader: BinaryReader, most: number): number {
  const bits = reader.u8()
  if (bits > most) throw reader.damage(`expected at most ${most}, found ${bits}`)
  return bits
}

const readTime = (reader: BinaryReader): bigint => BigInt.asIntN(64, reader.u64())

function readTimeline(reader: BinaryReader): TimelineId {
  const timeline = reader.u32()
  if (!isTimelineId(timeline)) throw reader.damage(`there is no timeline ${timeline}`)
  return timeline
}

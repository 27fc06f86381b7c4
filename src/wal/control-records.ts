import { OperationError } from '../domain/operation-error.ts'
import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { isTimelineId, type TimelineId } from '../domain/timeline.ts'
import type { WalRecord } from './record-reader.ts'

type WalLevel = 'minimal' | 'replica' | 'logical'

/** What the server writes about itself, as far as a recovery is planned by it. */
export type ControlRecord = Checkpoint | RestorePoint | EndOfRecovery | SettingsChange | SegmentSwitch

export interface Checkpoint {
  readonly kind: 'checkpoint'
  readonly isShutdown: boolean
  /** Where a recovery from this checkpoint begins. */
  readonly redoLsn: Lsn
  readonly timeline: TimelineId
  /** Differs from `timeline` at the first checkpoint of a new one. */
  readonly previousTimeline: TimelineId
  readonly hasFullPageWrites: boolean
  /** When it began, in seconds since the Unix epoch. */
  readonly time: bigint
}

export interface RestorePoint {
  readonly kind: 'restore-point'
  readonly name: string
  /** TimestampTz: microseconds since 2000-01-01 UTC. */
  readonly time: bigint
}

/** A server was promoted: the first record of the new timeline that says so, when no checkpoint did. */
export interface EndOfRecovery {
  readonly kind: 'end-of-recovery'
  readonly time: bigint
  readonly timeline: TimelineId
  readonly previousTimeline: TimelineId
}

/** With `wal_level` below `replica`, or full page writes off, what follows may not be enough to recover with. */
export type SettingsChange =
  | { readonly kind: 'parameter-change'; readonly walLevel: WalLevel }
  | { readonly kind: 'full-page-writes-change'; readonly hasFullPageWrites: boolean }

/** The rest of the segment is not used. */
interface SegmentSwitch {
  readonly kind: 'segment-switch'
}

type Decoder = (data: DataView, record: WalRecord) => ControlRecord

/** RM_XLOG_ID in access/rmgrlist.h. */
const controlManager = 0
const operationMask = 0xf0

/**
 * XLOG_* in catalog/pg_control.h; the same in 14 to 18. The structures only grew at their ends or into padding: 17 put
 * wal_level into CheckPoint's padding and behind xl_end_of_recovery.
 */
const decoders: ReadonlyMap<number, { readonly bytes: number; readonly decode: Decoder }> = new Map([
  [0x00, { bytes: 72, decode: (data: DataView, record: WalRecord) => checkpoint(data, record, true) }],
  [0x10, { bytes: 72, decode: (data: DataView, record: WalRecord) => checkpoint(data, record, false) }],
  [0x40, { bytes: 0, decode: () => ({ kind: 'segment-switch' }) as const }],
  [0x60, { bytes: 24, decode: parameterChange }],
  [0x70, { bytes: 72, decode: restorePoint }],
  [0x80, { bytes: 1, decode: fullPageWritesChange }],
  [0x90, { bytes: 16, decode: endOfRecovery }],
])

/** Undefined for every record that is none of these. */
export function readControlRecord(record: WalRecord): ControlRecord | undefined {
  const decoder = record.rmid === controlManager ? decoders.get(record.info & operationMask) : undefined
  if (decoder === undefined) return undefined
  const { buffer, byteOffset, byteLength } = record.mainData
  if (byteLength < decoder.bytes) throw misread(record, `${byteLength} bytes are too few for its parts`)
  return decoder.decode(new DataView(buffer, byteOffset, byteLength), record)
}

/** CheckPoint in catalog/pg_control.h. */
function checkpoint(data: DataView, record: WalRecord, isShutdown: boolean): Checkpoint {
  return {
    kind: 'checkpoint',
    isShutdown,
    redoLsn: toLsn(data.getBigUint64(0, true)),
    timeline: timelineOf(data, 8, record),
    previousTimeline: timelineOf(data, 12, record),
    hasFullPageWrites: data.getUint8(16) !== 0,
    time: data.getBigInt64(64, true),
  }
}

/** xl_restore_point in access/xlog_internal.h: a name of up to 63 bytes and a zero. */
function restorePoint(data: DataView): RestorePoint {
  const name = Buffer.from(data.buffer, data.byteOffset + 8, 64)
  const end = name.indexOf(0)
  return {
    kind: 'restore-point',
    name: name.toString('utf8', 0, end === -1 ? name.length : end),
    time: data.getBigInt64(0, true),
  }
}

/** xl_end_of_recovery in access/xlog_internal.h. */
function endOfRecovery(data: DataView, record: WalRecord): EndOfRecovery {
  return {
    kind: 'end-of-recovery',
    time: data.getBigInt64(0, true),
    timeline: timelineOf(data, 8, record),
    previousTimeline: timelineOf(data, 12, record),
  }
}

/** xl_parameter_change in access/xlog_internal.h; WalLevel in access/xlog.h. */
function parameterChange(data: DataView, record: WalRecord): SettingsChange {
  const level = data.getInt32(20, true)
  const walLevel = (['minimal', 'replica', 'logical'] as const)[level]
  if (walLevel === undefined) throw misread(record, `there is no wal_level ${level}`)
  return { kind: 'parameter-change', walLevel }
}

function fullPageWritesChange(data: DataView): SettingsChange {
  return { kind: 'full-page-writes-change', hasFullPageWrites: data.getUint8(0) !== 0 }
}

function timelineOf(data: DataView, offset: number, record: WalRecord): TimelineId {
  const timeline = data.getUint32(offset, true)
  if (!isTimelineId(timeline)) throw misread(record, `there is no timeline ${timeline}`)
  return timeline
}

function misread({ lsn }: WalRecord, found: string): OperationError {
  return new OperationError('damaged', `the record at ${formatLsn(lsn)} cannot be read: ${found}`, {
    hint: 'Report this with the WAL segment: its checksum is right, so this version of the tool misreads it.',
  })
}

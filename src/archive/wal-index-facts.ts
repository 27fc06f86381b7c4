import type { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { FirstLsns } from '../wal/first-lsns.ts'
import type { RelationEventKind, RelationEvents } from '../wal/relation-events.ts'
import type { RelationId, RowCount, RowCounts } from '../wal/row-counts.ts'
import type { TransactionEnds } from '../wal/transaction-ends.ts'
import {
  mostRecords,
  readBigDifferences,
  readDifferences,
  readU32,
  readU32Column,
  writeBigDifferences,
  writeDifferences,
  writeU32Column,
  type IndexedSegment,
} from './wal-index-numbers.ts'

const kindBits = { abort: 1, prepared: 2 } as const
/** Their numbers are those of the format: only add at the end. */
const eventKinds: readonly RelationEventKind[] = [
  'created',
  'truncated',
  'dropped',
  'discarded',
  'table-truncated',
  'database-copied',
  'database-logged',
  'database-dropped',
]
/** One row, as most have it; or three numbers follow. */
const rowKinds = { inserted: 0, updated: 1, deleted: 2, several: 3 } as const
const fewestEventBytes = 8

/** Columns, one behind the other: kind, xid, time, place, length, number of subtransactions; then those of all. */
export function writeTransactions(
  writer: BinaryWriter,
  transactions: TransactionEnds,
  { startLsn }: IndexedSegment,
): void {
  const { count } = transactions
  const [kinds, xids, places] = [new Uint32Array(count), new Uint32Array(count), new Uint32Array(count)]
  const [lengths, subxidCounts] = [new Uint32Array(count), new Uint32Array(count)]
  const times = new BigUint64Array(count)
  const subxids: number[] = []
  for (let index = 0; index < count; index += 1) {
    const end = transactions.at(index)
    kinds[index] = (end.kind === 'abort' ? kindBits.abort : 0) + (end.isPrepared ? kindBits.prepared : 0)
    xids[index] = end.xid
    times[index] = end.time
    places[index] = Number(end.lsn - startLsn)
    lengths[index] = Number(end.endLsn - end.lsn)
    subxidCounts[index] = end.subxids.length
    for (const subxid of end.subxids) subxids.push(subxid)
  }
  writer.varint(count)
  writeU32Column(writer, kinds)
  writeDifferences(writer, xids)
  writeBigDifferences(writer, times)
  writeDifferences(writer, places)
  writeU32Column(writer, lengths)
  writeU32Column(writer, subxidCounts)
  writeDifferences(writer, subxids)
}

export function readTransactions(
  reader: BinaryReader,
  transactions: TransactionEnds,
  segment: IndexedSegment,
): void {
  const count = reader.count(6)
  const kinds = readU32Column(reader, count)
  const xids = readDifferences(reader, count)
  const times = readBigDifferences(reader, count)
  const places = readDifferences(reader, count)
  const lengths = readU32Column(reader, count)
  const subxidCounts = readU32Column(reader, count)
  const subxids = readDifferences(reader, sumOf(reader, subxidCounts))
  let nextSubxid = 0
  for (const [index, xid] of xids.entries()) {
    const [kind = 0, time = 0n, place = 0] = [kinds[index], times[index], places[index]]
    const lsn = lsnAt(reader, place, segment)
    const endLsn = lsnAt(reader, place + (lengths[index] ?? 0), segment)
    transactions.add({
      isAbort: (kind & kindBits.abort) !== 0,
      isPrepared: (kind & kindBits.prepared) !== 0,
      xid,
      timeHigh: highOf(time),
      timeLow: lowOf(time),
      place: { lsnHigh: highOf(lsn), lsnLow: lowOf(lsn), endHigh: highOf(endLsn), endLow: lowOf(endLsn) },
    })
    const end = nextSubxid + (subxidCounts[index] ?? 0)
    for (; nextSubxid < end; nextSubxid += 1) transactions.addSubxid(subxids[nextSubxid] ?? 0)
  }
}

/** Columns: xid, parent, place plus one or 0 for none. */
export function writeFirstLsns(
  writer: BinaryWriter,
  firstLsns: FirstLsns,
  { startLsn }: IndexedSegment,
): void {
  const { count } = firstLsns
  const [xids, parents, places] = [new Uint32Array(count), new Uint32Array(count), new Uint32Array(count)]
  for (let index = 0; index < count; index += 1) {
    const { xid, parent, lsn } = firstLsns.at(index)
    xids[index] = xid
    parents[index] = parent
    places[index] = lsn === undefined ? 0 : Number(lsn - startLsn) + 1
  }
  writer.varint(count)
  writeDifferences(writer, xids)
  writeDifferences(writer, parents)
  writeDifferences(writer, places)
}

export function readFirstLsns(reader: BinaryReader, firstLsns: FirstLsns, segment: IndexedSegment): void {
  const count = reader.count(3)
  const xids = readDifferences(reader, count)
  const parents = readDifferences(reader, count)
  const places = readDifferences(reader, count)
  for (const [index, xid] of xids.entries()) {
    const [parent = 0, place = 0] = [parents[index], places[index]]
    if (place > 0) {
      const lsn = lsnAt(reader, place - 1, segment)
      firstLsns.see(xid, highOf(lsn), lowOf(lsn))
    }
    if (place === 0 || parent !== 0) firstLsns.setParent(xid, parent)
  }
}

/** The relations; then columns: relation, xid, what was done. */
export function writeRows(writer: BinaryWriter, rows: RowCounts): void {
  const { count } = rows
  const [numbers, xids] = [new Uint32Array(count), new Uint32Array(count)]
  const relations = new RelationNumbers()
  const kinds = new BinaryWriter(count + 64)
  for (let index = 0; index < count; index += 1) {
    const row = rows.at(index)
    numbers[index] = relations.numberOf(row)
    xids[index] = row.xid
    writeRowKind(kinds, row)
  }
  writer.varint(relations.list.length)
  for (const { tablespace, database, relation } of relations.list)
    writer.varint(tablespace).varint(database).varint(relation)
  writer.varint(count)
  writeU32Column(writer, numbers)
  writeDifferences(writer, xids)
  writer.bytes(kinds.finish())
}

/** Numbers relations in the order of their coming. */
class RelationNumbers {
  readonly list: RelationId[] = []
  /** Few relations share their number with one of another database or tablespace. */
  readonly #known = new Map<number, number[]>()

  numberOf({ tablespace, database, relation }: RelationId): number {
    const known = this.#known.get(relation) ?? []
    for (const number of known) {
      const found = this.list[number]
      if (found?.database === database && found.tablespace === tablespace) return number
    }
    const number = this.list.push({ tablespace, database, relation }) - 1
    this.#known.set(relation, [...known, number])
    return number
  }
}

function writeRowKind(writer: BinaryWriter, { inserted, updated, deleted }: RowCount): void {
  if (inserted + updated + deleted !== 1) {
    writer.u8(rowKinds.several).varint(inserted).varint(updated).varint(deleted)
  } else if (inserted === 1) {
    writer.u8(rowKinds.inserted)
  } else {
    writer.u8(updated === 1 ? rowKinds.updated : rowKinds.deleted)
  }
}

export function readRows(reader: BinaryReader, rows: RowCounts, segment: IndexedSegment): void {
  const relationCount = reader.count(3)
  const relations = Array.from({ length: relationCount }, () =>
    rows.relationIndexOf({
      tablespace: readU32(reader),
      database: readU32(reader),
      relation: readU32(reader),
    }),
  )
  const count = reader.count(3)
  const numbers = readU32Column(reader, count)
  const xids = readDifferences(reader, count)
  // One record says of one row that it was updated or deleted.
  let room = mostRecords(segment)
  for (const [index, xid] of xids.entries()) {
    const relation = relations[numbers[index] ?? 0]
    if (relation === undefined) throw reader.damage(`there is no relation ${numbers[index] ?? 0}`)
    const [inserted, updated, deleted] = readRowKind(reader)
    room -= updated + deleted
    if (room < 0) throw reader.damage('found more changed rows than records')
    const row = rows.indexOf(relation, xid)
    rows.addInserted(row, inserted)
    for (let done = 0; done < updated; done += 1) rows.addUpdated(row)
    for (let done = 0; done < deleted; done += 1) rows.addDeleted(row)
  }
}

function readRowKind(reader: BinaryReader): readonly [number, number, number] {
  const kind = reader.u8()
  if (kind > rowKinds.several) throw reader.damage(`found the kind of row ${kind}`)
  if (kind === rowKinds.several) return [readU32(reader), readU32(reader), readU32(reader)]
  return [
    kind === rowKinds.inserted ? 1 : 0,
    kind === rowKinds.updated ? 1 : 0,
    kind === rowKinds.deleted ? 1 : 0,
  ]
}

/** Events one behind the other: kind, tablespace, database, relation, fork, block, xid, place. */
export function writeEvents(
  writer: BinaryWriter,
  events: RelationEvents,
  { startLsn }: IndexedSegment,
): void {
  writer.varint(events.count)
  for (const { kind, tablespace, database, relation, fork, block, xid, lsn } of events) {
    writer.varint(eventKinds.indexOf(kind))
    for (const number of [tablespace, database, relation, fork, block, xid]) writer.varint(number)
    writer.varint(Number(lsn - startLsn))
  }
}

export function readEvents(reader: BinaryReader, events: RelationEvents, segment: IndexedSegment): void {
  const count = reader.count(fewestEventBytes)
  for (let index = 0; index < count; index += 1) {
    const kind = eventKinds[reader.varint()]
    if (kind === undefined) throw reader.damage('found an unknown kind of event')
    events.add({
      kind,
      tablespace: readU32(reader),
      database: readU32(reader),
      relation: readU32(reader),
      fork: readU32(reader),
      block: readU32(reader),
      xid: readU32(reader),
      lsn: lsnAt(reader, reader.varint(), segment),
    })
  }
}

function lsnAt(reader: BinaryReader, offset: number, { startLsn, segmentSize }: IndexedSegment): Lsn {
  if (offset > segmentSize) throw reader.damage(`found the offset ${offset} in ${segmentSize} bytes`)
  return toLsn(startLsn + BigInt(offset))
}

function sumOf(reader: BinaryReader, counts: Uint32Array): number {
  const sum = counts.reduce((total, count) => total + count, 0)
  if (sum > reader.remaining) throw reader.damage(`expected ${sum} subtransactions`)
  return sum
}

const highOf = (value: bigint): number => Number(BigInt.asUintN(32, value >> 32n))
const lowOf = (value: bigint): number => Number(BigInt.asUintN(32, value))

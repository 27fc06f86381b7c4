import { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { SegmentContents } from '../wal/segment-contents.ts'
import { WalFacts } from '../wal/wal-facts.ts'
import { areChangesWritable, readChanges, writeChanges } from './wal-index-changes.ts'
import { readControl, readUnknown, writeControl, writeUnknown } from './wal-index-control.ts'
import {
  readEvents,
  readFirstLsns,
  readRows,
  readTransactions,
  writeEvents,
  writeFirstLsns,
  writeRows,
  writeTransactions,
} from './wal-index-facts.ts'
import type { IndexedSegment } from './wal-index-numbers.ts'
import { readSegmentFrame, writeSegmentFrame } from './wal-index-segment.ts'

const version = 1
const mebibyte = 1024 * 1024

/** The most bytes that an index has before compression: it is no index if it is not much smaller than the segment. */
export function mostIndexBytes(segmentSize: number): number {
  return Math.min(mebibyte + segmentSize / 4, 64 * mebibyte)
}

/** docs/formats/wal-index.md. Undefined for contents that the format has no room for. */
export function encodeWalIndex(contents: SegmentContents): Uint8Array<ArrayBuffer> | undefined {
  const { major, facts, ...frame } = contents
  if (major === undefined || !areChangesWritable(facts.changes, contents)) return undefined
  const writer = new BinaryWriter(64 * 1024)
  writer.u8(version)
  writeSegmentFrame(writer, { ...frame, major })
  writeSection(writer, (section) => writeChanges(section, facts.changes))
  writeSection(writer, (section) => writeControl(section, facts.control, contents))
  writeSection(writer, (section) => writeUnknown(section, facts.unknown, contents))
  writeSection(writer, (section) => writeTransactions(section, facts.transactions, contents))
  writeSection(writer, (section) => writeFirstLsns(section, facts.firstLsns, contents))
  writeSection(writer, (section) => writeRows(section, facts.rows))
  writeSection(writer, (section) => writeEvents(section, facts.relationEvents, contents))
  return writer.length > mostIndexBytes(contents.segmentSize) ? undefined : writer.finish()
}

export interface DecodeOptions {
  /** Leaves out transactions, rows and events of relations, which are most of it. */
  readonly isChangesOnly?: boolean | undefined
}

/** Throws `damaged` for everything that `encodeWalIndex` does not write, and `format-newer`. */
export function decodeWalIndex(
  bytes: Uint8Array,
  key: string,
  { isChangesOnly = false }: DecodeOptions = {},
): SegmentContents {
  const reader = new BinaryReader(bytes, `the index "${key}"`)
  refuseOtherVersion(reader, key)
  const frame = readSegmentFrame(reader)
  const facts = readFacts(reader, frame, isChangesOnly)
  reader.expectEnd()
  return { ...frame, facts }
}

function refuseOtherVersion(reader: BinaryReader, key: string): void {
  const found = reader.u8()
  if (found > version) {
    throw new OperationError(
      'format-newer',
      `reading the index "${key}": expected version ${version}, found version ${found}`,
      { hint: 'Use the version of holdfast that wrote it, or a later one.' },
    )
  }
  if (found !== version) throw reader.damage(`expected version ${version}, found ${found}`)
}

/** What one section holds is put into the facts. */
type ReadSection = (reader: BinaryReader, facts: WalFacts, segment: IndexedSegment) => void

const changesSections: readonly ReadSection[] = [
  (reader, facts, segment) => facts.changes.addAll(readChanges(reader, segment)),
  (reader, facts, segment) => {
    for (const record of readControl(reader, segment)) facts.control.push(record)
  },
  (reader, facts, segment) => {
    const unknown = readUnknown(reader, segment)
    if (unknown !== undefined) facts.noteUnknown(unknown, unknown.why)
  },
]
const otherSections: readonly ReadSection[] = [
  (reader, facts, segment) => readTransactions(reader, facts.transactions, segment),
  (reader, facts, segment) => readFirstLsns(reader, facts.firstLsns, segment),
  (reader, facts, segment) => readRows(reader, facts.rows, segment),
  (reader, facts, segment) => readEvents(reader, facts.relationEvents, segment),
]

function readFacts(reader: BinaryReader, segment: IndexedSegment, isChangesOnly: boolean): WalFacts {
  const facts = new WalFacts()
  for (const readSection of [...changesSections, ...otherSections]) {
    const bytes = reader.sizedBytes()
    if (isChangesOnly && otherSections.includes(readSection)) continue
    const section = new BinaryReader(bytes, 'a section of an index')
    readSection(section, facts, segment)
    section.expectEnd()
  }
  return facts
}

function writeSection(writer: BinaryWriter, write: (section: BinaryWriter) => void): void {
  const section = new BinaryWriter(16 * 1024)
  write(section)
  writer.sizedBytes(section.finish())
}

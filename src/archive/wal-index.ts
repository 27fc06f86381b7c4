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
  /** Reads changes when they are asked for. */
  readonly areChangesLate?: boolean | undefined
}

/** Throws `damaged` for everything that `encodeWalIndex` does not write, and `format-newer`. */
export function decodeWalIndex(
  bytes: Uint8Array,
  key: string,
  { isChangesOnly = false, areChangesLate = false }: DecodeOptions = {},
): SegmentContents {
  const reader = new BinaryReader(bytes, `the index "${key}"`)
  refuseOtherVersion(reader, key)
  const frame = readSegmentFrame(reader)
  const changes = reader.sizedBytes()
  const facts = new WalFacts(() => readSection(changes, (section) => readChanges(section, frame)))
  if (!areChangesLate) void facts.changes
  const sections = isChangesOnly ? factSections.slice(0, alwaysRead) : factSections
  for (const read of sections) readSection(reader.sizedBytes(), (section) => read(section, facts, frame))
  for (let left = factSections.length - sections.length; left > 0; left -= 1) reader.sizedBytes()
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
type FactSection = (reader: BinaryReader, facts: WalFacts, segment: IndexedSegment) => void

/** What follows the changes: first what is always read. */
const factSections: readonly FactSection[] = [
  (reader, facts, segment) => {
    for (const record of readControl(reader, segment)) facts.control.push(record)
  },
  (reader, facts, segment) => {
    const unknown = readUnknown(reader, segment)
    if (unknown !== undefined) facts.noteUnknown(unknown, unknown.why)
  },
  (reader, facts, segment) => readTransactions(reader, facts.transactions, segment),
  (reader, facts, segment) => readFirstLsns(reader, facts.firstLsns, segment),
  (reader, facts, segment) => readRows(reader, facts.rows, segment),
  (reader, facts, segment) => readEvents(reader, facts.relationEvents, segment),
]
const alwaysRead = 2

function readSection<Result>(bytes: Uint8Array, read: (section: BinaryReader) => Result): Result {
  const section = new BinaryReader(bytes, 'a section of an index')
  const result = read(section)
  section.expectEnd()
  return result
}

function writeSection(writer: BinaryWriter, write: (section: BinaryWriter) => void): void {
  const section = new BinaryWriter(16 * 1024)
  write(section)
  writer.sizedBytes(section.finish())
}

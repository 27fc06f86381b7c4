import type { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { ChangedBlocks, type ChangedFork, type ForkId } from '../wal/changed-blocks.ts'
import {
  readDifferences,
  readU32,
  readU32Column,
  writeDifferences,
  writeU32Column,
  type IndexedSegment,
} from './wal-index-numbers.ts'

/** How the blocks of a fork are written: whichever is shorter. */
const methods = { gaps: 0, bitmap: 1 } as const
/** Of the segment, for each block that it names: no server writes so many. */
const fewestBytesPerBlock = 32
/** ForkNumber in common/relpath.h. */
const mostForkNumber = 3
const blockNumberEnd = 0x1_0000_0000

/** Databases, then forks: sorted, so that the same changes are the same bytes. */
export function writeChanges(writer: BinaryWriter, changes: ChangedBlocks): void {
  const databases = [...changes.databases()].toSorted(compareNumbers)
  writer.varint(databases.length)
  for (const [tablespace, database] of databases) writer.varint(tablespace).varint(database)
  const forks = [...changes.forks()].toSorted(([one], [other]) =>
    compareNumbers(numbersOf(one), numbersOf(other)),
  )
  writer.varint(forks.length)
  const ids = forks.map(([id]) => id)
  writeDifferences(
    writer,
    ids.map(({ tablespace }) => tablespace),
  )
  writeDifferences(
    writer,
    ids.map(({ database }) => database),
  )
  writeDifferences(
    writer,
    ids.map(({ relation }) => relation),
  )
  writeU32Column(
    writer,
    ids.map(({ fork }) => fork),
  )
  for (const [, fork] of forks) writeFork(writer, fork)
}

export function readChanges(reader: BinaryReader, segment: IndexedSegment): ChangedBlocks {
  const changes = new ChangedBlocks()
  const databaseCount = reader.count(2)
  for (let index = 0; index < databaseCount; index += 1) changes.addDatabase(readU32(reader), readU32(reader))
  const count = reader.count(6)
  const tablespaces = readDifferences(reader, count)
  const databases = readDifferences(reader, count)
  const relations = readDifferences(reader, count)
  const forks = readU32Column(reader, count)
  let room = Math.floor(segment.segmentSize / fewestBytesPerBlock)
  for (const [index, fork] of forks.entries()) {
    if (fork > mostForkNumber) throw reader.damage(`there is no fork ${fork}`)
    const [tablespace = 0, database = 0, relation = 0] = [
      tablespaces[index],
      databases[index],
      relations[index],
    ]
    room -= readFork(reader, changes.forkOf({ tablespace, database, relation, fork }), room)
  }
  return changes
}

/** Whether the format has room for all the blocks that are named. */
export function areChangesWritable(changes: ChangedBlocks, { segmentSize }: IndexedSegment): boolean {
  let count = 0
  for (const [{ fork }, { count: blocks }] of changes.forks()) {
    if (fork > mostForkNumber) return false
    count += blocks
  }
  return count <= Math.floor(segmentSize / fewestBytesPerBlock)
}

/** Limit plus one, or 0 for none; the number of blocks; how they are written, and they. */
function writeFork(writer: BinaryWriter, fork: ChangedFork): void {
  const blocks = fork.blocksWithin(0, blockNumberEnd)
  writer.varint(fork.limit === undefined ? 0 : fork.limit + 1)
  writer.varint(blocks.length)
  const [first] = blocks
  if (first === undefined) return
  const gaps = new BinaryWriter(2 * blocks.length + 8)
  let next = 0
  for (const block of blocks) {
    gaps.varint(block - next)
    next = block + 1
  }
  const bitmapBytes = Math.ceil((next - first) / 8)
  const head = new BinaryWriter(16).varint(first).varint(bitmapBytes)
  if (head.length + bitmapBytes < gaps.length) {
    writer
      .u8(methods.bitmap)
      .bytes(head.finish())
      .bytes(bitmapOf(blocks, first, bitmapBytes))
  } else {
    writer.u8(methods.gaps).bytes(gaps.finish())
  }
}

function bitmapOf(blocks: readonly number[], first: number, length: number): Uint8Array {
  const bitmap = new Uint8Array(length)
  for (const block of blocks) {
    const bit = block - first
    bitmap[bit >>> 3] = (bitmap[bit >>> 3] ?? 0) | (1 << (bit & 7))
  }
  return bitmap
}

/** Gives how many blocks there are, of at most `room`. */
function readFork(reader: BinaryReader, fork: ChangedFork, room: number): number {
  const limit = reader.varint()
  if (limit > blockNumberEnd) throw reader.damage(`there is no block ${limit - 1}`)
  if (limit > 0) fork.limitTo(limit - 1)
  const count = reader.varint()
  if (count > room) throw reader.damage(`found ${count} blocks, expected at most ${room}`)
  if (count === 0) return 0
  const method = reader.u8()
  if (method === methods.gaps) readGaps(reader, fork, count)
  else if (method === methods.bitmap) readBitmap(reader, fork)
  else throw reader.damage(`found the method ${method}`)
  if (fork.count !== count) throw reader.damage(`expected ${count} blocks, found ${fork.count}`)
  return count
}

function readGaps(reader: BinaryReader, fork: ChangedFork, count: number): void {
  let next = 0
  for (let index = 0; index < count; index += 1) {
    next += reader.varint()
    if (next >= blockNumberEnd) throw reader.damage(`there is no block ${next}`)
    fork.add(next)
    next += 1
  }
}

function readBitmap(reader: BinaryReader, fork: ChangedFork): void {
  const first = reader.varint()
  const bitmap = reader.sizedBytes()
  if (first + 8 * bitmap.length > blockNumberEnd + 7) throw reader.damage(`there is no block ${first}`)
  for (const [index, bits] of bitmap.entries()) {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      const block = first + 8 * index + 31 - Math.clz32(rest & -rest)
      if (block >= blockNumberEnd) throw reader.damage(`there is no block ${block}`)
      fork.add(block)
    }
  }
}

const numbersOf = ({ tablespace, database, relation, fork }: ForkId): readonly number[] => [
  tablespace,
  database,
  relation,
  fork,
]

/** By the first number that differs. */
function compareNumbers(one: readonly number[], other: readonly number[]): number {
  const index = one.findIndex((number, at) => number !== other[at])
  return index < 0 ? 0 : (one[index] ?? 0) - (other[index] ?? 0)
}

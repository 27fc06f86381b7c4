import type { BinaryReader } from '../codec/binary-reader.ts'
import type { BinaryWriter } from '../codec/binary-writer.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'

/** Which segment LSNs are counted from, and how far they may be. */
export interface IndexedSegment {
  readonly startLsn: Lsn
  readonly segmentSize: number
}

/** The shortest record: SizeOfXLogRecord in access/xlogrecord.h. */
const shortestRecordBytes = 24
const largestU32 = 0xffff_ffff
const mask64 = 0xffff_ffff_ffff_ffffn

/** No segment has more records. What claims more was not written by us. */
export function mostRecords({ segmentSize }: IndexedSegment): number {
  return Math.floor(segmentSize / shortestRecordBytes)
}

/** How many bytes from the segment's beginning: 0 to its size. */
export function writePlace(writer: BinaryWriter, lsn: Lsn, { startLsn }: IndexedSegment): void {
  writer.varint(Number(lsn - startLsn))
}

export function readPlace(reader: BinaryReader, { startLsn, segmentSize }: IndexedSegment): Lsn {
  const offset = reader.varint()
  if (offset > segmentSize) throw reader.damage(`found the offset ${offset} in ${segmentSize} bytes`)
  return toLsn(startLsn + BigInt(offset))
}

export function readU32(reader: BinaryReader): number {
  const value = reader.varint()
  if (value > largestU32) throw reader.damage(`expected a number of 32 bits, found ${value}`)
  return value
}

export function readU32Column(reader: BinaryReader, count: number): Uint32Array {
  if (count > reader.remaining) {
    throw reader.damage(`expected ${count} numbers, found ${reader.remaining} bytes`)
  }
  const column = new Uint32Array(count)
  for (let index = 0; index < count; index += 1) column[index] = readU32(reader)
  return column
}

export function writeU32Column(writer: BinaryWriter, values: ArrayLike<number>): void {
  for (let index = 0; index < values.length; index += 1) writer.varint(values[index] ?? 0)
}

/** The differences from one number to the next, of either sign, modulo 2^32; the first from 0. */
export function writeDifferences(writer: BinaryWriter, values: ArrayLike<number>): void {
  let before = 0
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] ?? 0
    const difference = (value - before) | 0
    writer.varint(((difference << 1) ^ (difference >> 31)) >>> 0)
    before = value
  }
}

export function readDifferences(reader: BinaryReader, count: number): Uint32Array {
  const column = readU32Column(reader, count)
  let before = 0
  for (let index = 0; index < count; index += 1) {
    const zigzag = column[index] ?? 0
    before = (before + ((zigzag >>> 1) ^ -(zigzag & 1))) >>> 0
    column[index] = before
  }
  return column
}

/** As `writeDifferences`, modulo 2^64. */
export function writeBigDifferences(writer: BinaryWriter, values: BigUint64Array): void {
  let before = 0n
  for (const value of values) {
    const difference = BigInt.asIntN(64, value - before)
    const zigzag = ((difference << 1n) ^ (difference >> 63n)) & mask64
    // The same bytes, and much faster.
    if (zigzag <= 0xffff_ffffn) writer.varint(Number(zigzag))
    else writer.bigVarint(zigzag)
    before = value
  }
}

export function readBigDifferences(reader: BinaryReader, count: number): BigUint64Array {
  if (count > reader.remaining) {
    throw reader.damage(`expected ${count} numbers, found ${reader.remaining} bytes`)
  }
  const column = new BigUint64Array(count)
  let before = 0n
  for (let index = 0; index < count; index += 1) {
    const zigzag = reader.bigVarint()
    before = (before + ((zigzag >> 1n) ^ -(zigzag & 1n))) & mask64
    column[index] = before
  }
  return column
}

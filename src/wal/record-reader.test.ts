import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { mainData, WalBuilder, type BuiltRecord } from '../../test/support/wal-builder.ts'
import type { Lsn } from '../domain/lsn.ts'
import { crc32c } from '../platform/crc32c.ts'
import { readWalRecords, WalRecordReader, type WalSegmentBytes } from './record-reader.ts'
import type { WalEnd } from './wal-end.ts'

interface Copy {
  readonly lsn: Lsn
  readonly endLsn: Lsn
  readonly crc: number
  readonly mainLength: number
}

describe('readWalRecords', () => {
  test('gives back what was written, whatever crosses pages and segments', () => {
    fc.assert(
      fc.property(lengths(), (wanted) => {
        const builder = new WalBuilder()
        const written = wanted.map((length) => builder.append(message(length)))

        const { records, end } = readAll(builder.segments)

        assert.deepEqual(
          records.map(({ lsn }) => lsn),
          written,
        )
        assert.deepEqual(
          records.map(({ mainLength }) => mainLength),
          wanted,
        )
        assert.ok(end.reason === 'zeroes' || end.reason === 'segments-exhausted', end.reason)
      }),
      { numRuns: 30 },
    )
  })

  test('carries a record over several segments', () => {
    const builder = new WalBuilder()
    const lsns = [
      builder.append(message(100)),
      builder.append(message(3_300_000)),
      builder.append(message(7)),
    ]

    const { records, end } = readAll(builder.segments)

    assert.deepEqual([records.map(({ lsn }) => lsn), builder.segments.length], [lsns, 4])
    assert.equal(end.reason, 'zeroes')
  })

  test('begins behind the record that goes on from a segment it was not given', () => {
    const builder = new WalBuilder()
    for (let length = 0; length < 3_000_000; length += 10_007) builder.append(message(length % 40_000))
    const all = readAll(builder.segments).records

    for (let skipped = 1; skipped < builder.segments.length; skipped += 1) {
      const segments = builder.segments.slice(skipped)
      const { records } = readAll(segments)

      assert.deepEqual(
        records,
        all.filter(({ lsn }) => lsn >= (segments[0]?.startLsn ?? 0n)),
      )
    }
  })

  test('goes on in the next segment after a switch, whatever the rest of the segment holds', () => {
    const builder = new WalBuilder()
    const lsns = [builder.append(message(10)), builder.switchSegment(), builder.append(message(20))]
    const [first] = builder.segments
    first?.bytes.fill(0xff, 16_384)

    const { records } = readAll(builder.segments)

    assert.deepEqual(
      records.map(({ lsn }) => lsn),
      lsns,
    )
    assert.equal(records[1]?.endLsn, 0x200000n)
  })

  test('says that the last record goes on in a segment that was not given, and where it begins', () => {
    const builder = new WalBuilder()
    builder.append(message(10))
    const long = builder.append(message(2_000_000))

    const { records, end } = readAll(builder.segments.slice(0, 1))

    assert.equal(records.length, 1)
    assert.deepEqual([end.reason, end.lsn], ['record-unfinished', long])
  })

  test('passes over a record that a crashed server gave up', () => {
    const builder = new WalBuilder()
    builder.append(message(10))
    builder.append(message(20_000))
    const next = builder.append(message(10))
    const [segment] = builder.segments
    assert.ok(segment)
    const bytes = Buffer.from(segment.bytes)
    const record = Buffer.from(bytes.subarray(Number(next - segment.startLsn)).subarray(0, 24 + 12))
    // The third page begins anew, with XLP_FIRST_IS_OVERWRITE_CONTRECORD.
    const page = bytes.subarray(2 * 8192, 3 * 8192)
    page.fill(0, 16)
    page.writeUInt16LE(0x8, 2)
    page.set(sealed(record, segment.startLsn + 40n), 24)

    const { records } = readAll([{ ...segment, bytes }])

    assert.deepEqual(
      records.map(({ lsn }) => lsn),
      [segment.startLsn + 40n, segment.startLsn + 2n * 8192n + 24n],
    )
  })

  describe('ends', () => {
    const damages: readonly (readonly [string, WalEnd['reason'], (bytes: Buffer) => unknown])[] = [
      ['at a page that was never written', 'zeroes', (bytes) => bytes.fill(0, 8192, 16_384)],
      [
        'at a page of an older use of the file',
        'page-recycled',
        (bytes) => bytes.writeBigUInt64LE(0x8000n, 8200),
      ],
      ['at a page of another version', 'page-invalid', (bytes) => bytes.writeUInt16LE(0xd118, 8192)],
      ['at a page with unknown flags', 'page-invalid', (bytes) => bytes.writeUInt16LE(0x11, 8194)],
      [
        'at a page with a long header in the middle',
        'page-invalid',
        (bytes) => bytes.writeUInt16LE(0x3, 8194),
      ],
      ['where the timeline falls', 'page-invalid', (bytes) => bytes.writeUInt32LE(0, 8196)],
      ['where a page does not go on', 'record-continuation', (bytes) => bytes.writeUInt16LE(0, 8194)],
      [
        'where a page goes on with another length',
        'record-continuation',
        (bytes) => bytes.writeUInt32LE(5, 8208),
      ],
      ['at a length of almost 4 GiB', 'record-length', (bytes) => bytes.writeUInt32LE(0xfffffff0, 80)],
      ['at a length of almost 1 GiB', 'record-continuation', (bytes) => bytes.writeUInt32LE(0x3ffffff0, 80)],
      ['at a length below a header', 'record-length', (bytes) => bytes.writeUInt32LE(23, 80)],
      ['at a length of nothing', 'zeroes', (bytes) => bytes.writeUInt32LE(0, 80)],
      ['at a wrong link', 'record-link', (bytes) => bytes.writeBigUInt64LE(0x100000n, 88)],
      ['at an unknown resource manager', 'record-manager', (bytes) => bytes.writeUInt8(22, 97)],
      ['at a flipped bit', 'record-crc', (bytes) => bytes.writeUInt8(0x41, 5000)],
      [
        'where the parts do not add up',
        'record-layout',
        (bytes) => resealed(bytes, 80, (r) => r.writeUInt8(7, 24)),
      ],
    ]

    for (const [title, reason, damage] of damages) {
      test(`${title}: ${reason}`, () => {
        const builder = new WalBuilder()
        builder.append(message(12))
        const second = builder.append(message(20_000))
        const [segment] = builder.segments
        assert.ok(segment)
        assert.equal(second, segment.startLsn + 80n)
        const bytes = Buffer.from(segment.bytes)
        damage(bytes)

        const { records, end } = readAll([{ ...segment, bytes }])

        assert.deepEqual([records.length, end.reason, end.lsn], [1, reason, second])
      })
    }

    test('at a gap between segments', () => {
      const builder = new WalBuilder()
      builder.append(message(2_500_000))
      const [first, , third] = builder.segments
      assert.ok(first && third)

      assert.equal(readAll([first, third]).end.reason, 'segment-gap')
    })

    test('where a segment is cut off, at any length', () => {
      const builder = new WalBuilder()
      for (let count = 0; count < 100; count += 1) builder.append(message(9000))
      const [segment] = builder.segments
      assert.ok(segment)

      for (const length of [0, 23, 24, 39, 40, 8191, 8192, 16_384, 500_000, (1 << 20) - 1]) {
        const { records, end } = readAll([{ ...segment, bytes: segment.bytes.subarray(0, length) }])
        assert.deepEqual([records.length, end.reason], [0, 'segment-truncated'])
      }
    })
  })

  test('never gives a record that was not written, whatever bits are flipped', () => {
    const builder = new WalBuilder()
    for (let count = 0; count < 60; count += 1) builder.append(message(count * 100))
    const [segment] = builder.segments
    assert.ok(segment)
    const written = readAll([segment]).records
    const used = Number((written.at(-1)?.endLsn ?? 0n) - segment.startLsn)
    assert.equal(written.length, 60)

    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(used), fc.nat(7)), { minLength: 1, maxLength: 5 }), (flips) => {
        const bytes = Buffer.from(segment.bytes)
        for (const [at, bit] of flips) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at)

        for (const record of readAll([{ ...segment, bytes }]).records) {
          assert.ok(written.some((one) => one.lsn === record.lsn && one.crc === record.crc))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('ends in order on arbitrary bytes behind a right header', () => {
    const builder = new WalBuilder()
    builder.append(message(1))
    const [segment] = builder.segments
    assert.ok(segment)

    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24, maxLength: 4096 }), fc.nat(20_000), (noise, at) => {
        const bytes = Buffer.from(segment.bytes)
        bytes.set(noise, 40 + at)
        const { records } = readAll([{ ...segment, bytes }])
        assert.ok(records.length <= 1)
      }),
    )
  })
})

describe('WalRecordReader', () => {
  test('says that no segment came', () => {
    assert.deepEqual(new WalRecordReader().end().reason, 'segments-exhausted')
  })

  test('refuses a segment before the one before it was read', () => {
    const builder = new WalBuilder()
    builder.append(message(2_000_000))
    const [first, second] = builder.segments
    assert.ok(first && second)
    const reader = new WalRecordReader()
    reader.push(first)

    assert.throws(() => reader.push(second), /before the one before it was read/)
  })
})

function readAll(segments: readonly WalSegmentBytes[]): { records: Copy[]; end: WalEnd } {
  const records: Copy[] = []
  const reading = readWalRecords(segments)
  for (;;) {
    const { done, value } = reading.next()
    if (done === true) return { records, end: value }
    const { lsn, endLsn, mainData: data } = value
    records.push({ lsn, endLsn, crc: crc32c(data), mainLength: data.length })
  }
}

/** A record whose main data has this length. */
function message(length: number): BuiltRecord {
  return {
    rmid: 21,
    xid: length,
    body: length === 0 ? new Uint8Array(0) : mainData(Buffer.alloc(length, 'wal ')),
  }
}

/** Mostly short, some longer than a page. */
function lengths(): fc.Arbitrary<number[]> {
  const length = fc.oneof(
    { weight: 20, arbitrary: fc.nat(300) },
    { weight: 5, arbitrary: fc.integer({ min: 8000, max: 8250 }) },
    { weight: 1, arbitrary: fc.nat(300_000) },
  )
  return fc.array(length, { minLength: 1, maxLength: 300 })
}

/** The record with another link and the CRC that goes with it. */
function sealed(record: Buffer, prevLsn: bigint): Buffer {
  record.writeBigUInt64LE(prevLsn, 8)
  record.writeUInt32LE(crc32c(record.subarray(0, 20), crc32c(record.subarray(24))), 20)
  return record
}

/** Changes the record at `offset`, which crosses pages, and corrects its CRC. */
function resealed(bytes: Buffer, offset: number, change: (record: Buffer) => unknown): void {
  const total = bytes.readUInt32LE(offset)
  const places: number[] = []
  for (let at = offset; places.length < total; at += 1) {
    if (at % 8192 === 0) at += 24
    places.push(at)
  }
  const record = Buffer.from(places.map((at) => bytes.readUInt8(at)))
  change(record)
  record.writeUInt32LE(crc32c(record.subarray(0, 20), crc32c(record.subarray(24))), 20)
  for (const [index, at] of places.entries()) bytes.writeUInt8(record.readUInt8(index), at)
}

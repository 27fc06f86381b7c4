import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { buildKernel } from '../../scripts/build-wasm.ts'
import { mainData, WalBuilder } from '../../test/support/wal-builder.ts'
import { assertSameContents, assertSameFacts, readContents } from '../../test/support/wal-contents.ts'
import { sampleWal } from '../../test/support/wal-samples.ts'
import { toLsn } from '../domain/lsn.ts'
import { addRecord } from './add-record.ts'
import { walPageSize } from './page-header.ts'
import type { WalSegmentBytes } from './record-reader.ts'
import { scanSegment } from './scan-segment.ts'
import type { SegmentContents } from './segment-contents.ts'
import { SegmentScanner } from './segment-scanner.ts'
import { WalFacts } from './wal-facts.ts'

const majors = [14, 15, 16, 17, 18] as const
const seed = fc.integer({ min: 0, max: 0x7fff_ffff })

describe('the record kernel', () => {
  test('is the module that its text builds', async () => {
    const committed = readFileSync(join(import.meta.dirname, 'record-kernel-wasm.ts'), 'utf8')

    assert.equal(await buildKernel('wal/record-kernel'), committed)
  })
})

describe('scanSegment', () => {
  test('tells of any WAL what its records tell one by one', () => {
    fc.assert(
      fc.property(seed, fc.constantFrom(...majors), (number, major) => {
        for (const segment of sampleWal(number, major)) {
          const contents = scan(segment)

          assertSameContents(contents, readContents([segment]))
          assert.deepEqual([contents.major, contents.segmentSize], [major, 1 << 20])
        }
      }),
      { numRuns: 20 },
    )
  })

  test('stops where the records one by one stop, whatever bits are flipped, and wherever it is cut off', () => {
    const damage = fc.record({
      flips: fc.array(fc.tuple(fc.nat(0xffff), fc.nat(7)), { maxLength: 3 }),
      zeroed: fc.option(fc.tuple(fc.nat(0xffff), fc.nat(20_000))),
      length: fc.oneof({ weight: 9, arbitrary: fc.constant(1 << 20) }, fc.nat(1 << 20)),
    })
    fc.assert(
      fc.property(seed, damage, (number, { flips, zeroed, length }) => {
        const wal = sampleWal(number, 17)
        const segment = wal[number % wal.length]
        assert.ok(segment)
        const { startLsn } = segment
        const used = usedBytes(segment)
        const bytes = Buffer.from(segment.bytes)
        for (const [share, bit] of flips) {
          const at = Math.floor((share * used) / 0x1_0000)
          bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at)
        }
        if (zeroed !== null) {
          const from = Math.floor((zeroed[0] * used) / 0x1_0000)
          bytes.fill(0, from, from + zeroed[1])
        }
        const cut = { startLsn, bytes: bytes.subarray(0, length) }

        assertSameContents(scan(cut), readContents([cut]))
      }),
      { numRuns: 60 },
    )
  })

  test('stops where the records one by one stop, whatever a page header says', () => {
    fc.assert(
      fc.property(seed, fc.tuple(fc.nat(), fc.nat(19), fc.nat(7)), (number, [page, byte, bit]) => {
        const [segment] = sampleWal(number, 15)
        assert.ok(segment)
        const bytes = Buffer.from(segment.bytes)
        const pages = Math.ceil(usedBytes(segment) / walPageSize)
        const at = (page % pages) * walPageSize + byte
        bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at)
        const changed = { ...segment, bytes }

        assertSameContents(scan(changed), readContents([changed]))
      }),
      { numRuns: 60 },
    )
  })

  test('tells the same of a segment that comes in pieces of whole pages', () => {
    fc.assert(
      fc.property(seed, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (number, pieces) => {
        for (const segment of sampleWal(number, 18)) {
          const scanner = new SegmentScanner({ startLsn: segment.startLsn, sizeBytes: segment.bytes.length })
          for (let at = 0, piece = 0; at < segment.bytes.length; piece += 1) {
            const length = walPageSize * (pieces[piece % pieces.length] ?? 1)
            // Whoever pushes may use the memory again.
            const pages = new Uint8Array(segment.bytes.subarray(at, at + length))
            scanner.push(pages)
            pages.fill(0xee)
            at += length
          }

          assertSameContents(scanner.finish(), readContents([segment]))
        }
      }),
      { numRuns: 20 },
    )
  })

  test('says how many bytes came when a segment ends too early', () => {
    const builder = new WalBuilder()
    builder.append({ rmid: 21, body: mainData(Buffer.alloc(100_000)) })
    const [segment] = builder.segments
    assert.ok(segment)
    const scanner = new SegmentScanner({ startLsn: segment.startLsn, sizeBytes: 1 << 20 })
    scanner.push(segment.bytes.subarray(0, walPageSize))

    const { end, recordCount } = scanner.finish()
    assert.equal(recordCount, 0)
    assert.deepEqual(
      [end.reason, end.detail.slice(0, 26)],
      ['segment-truncated', 'only 8192 bytes were given'],
    )
  })

  test('stops before the first record that is not asked for, and tells facts from where they are asked for', () => {
    fc.assert(
      fc.property(seed, fc.tuple(fc.nat(), fc.nat(), fc.nat(7)), (number, [one, other, distance]) => {
        const [segment] = sampleWal(number, 17)
        assert.ok(segment)
        const { startLsn } = segment
        const { lsns } = readContents([segment])
        const from = toLsn((lsns[one % lsns.length] ?? 0n) + BigInt(distance))
        const until = toLsn((lsns[other % lsns.length] ?? 0n) + BigInt(distance))

        const contents = scanSegment(segment.bytes, { startLsn, fromLsn: from, untilLsn: until })

        const read = lsns.filter((lsn) => lsn < until)
        assert.deepEqual([contents.recordCount, contents.lastRecordLsn], [read.length, read.at(-1)])
        const next = lsns[read.length]
        if (next !== undefined) {
          assert.deepEqual([contents.end.reason, contents.end.lsn], ['segments-exhausted', next])
        }
        for (const { lsn } of contents.facts.firstLsns) assert.ok(lsn === undefined || lsn >= from)
        for (const { lsn } of contents.facts.transactions) assert.ok(lsn >= from && lsn < until)
      }),
      { numRuns: 20 },
    )
  })

  test('carries the parts of records that cross segments', () => {
    fc.assert(
      fc.property(seed, (number) => {
        const segments = sampleWal(number, 17)
        const contents = segments.map(scan)
        for (const [index, { tail }] of contents.entries()) {
          const next = contents[index + 1]
          if (tail === undefined) {
            assert.equal(next?.head, undefined)
          } else if (next !== undefined) {
            const { head, startLsn } = next
            assert.ok(head?.bytes && tail.bytes)
            assert.deepEqual([head.state, head.missing], ['whole', tail.totalLength - tail.length])
            const bytes = Buffer.concat([tail.bytes, head.bytes])
            const record = { bytes, lsn: tail.lsn, endLsn: head.endLsn, major: 17 as const }
            const facts = new WalFacts()
            assert.equal(addRecord(facts, record), undefined)
            assertSameFacts(facts, readContents(segments.slice(index, index + 2), tail.lsn))
            assert.ok(head.endLsn > startLsn)
            bytes.writeUInt8(bytes.readUInt8(30) ^ 1, 30)
            assert.equal(addRecord(facts, record)?.reason, 'record-crc')
            assert.equal(addRecord(facts, { ...record, bytes: bytes.subarray(1) })?.reason, 'record-length')
          }
        }
      }),
      { numRuns: 20 },
    )
  })

  test('carries no part that is longer than 256 KiB, and reads a record of a whole segment', () => {
    const builder = new WalBuilder()
    builder.append({ rmid: 21, body: mainData(Buffer.alloc(900_000, 'x')) })
    builder.append({ rmid: 21, body: mainData(Buffer.alloc(2_500_000, 'x')) })
    const contents = builder.segments.map(scan)

    assert.deepEqual(
      contents.map(({ recordCount, tail, head, end }) => [
        recordCount,
        tail?.length === undefined ? undefined : [tail.length > 0, tail.bytes?.length],
        head && [head.missing > 0, head.bytes?.length, head.state],
        end.reason,
      ]),
      [
        [1, [true, contents[0]?.tail?.length], undefined, 'record-unfinished'],
        [0, undefined, [true, undefined, 'whole'], 'segments-exhausted'],
        [0, undefined, [true, undefined, 'whole'], 'segments-exhausted'],
        [0, undefined, [true, undefined, 'whole'], 'zeroes'],
      ],
    )
    assert.equal(contents[1]?.head?.endLsn, builder.segments[2]?.startLsn)
  })
})

function scan({ bytes, startLsn }: WalSegmentBytes): SegmentContents {
  return scanSegment(bytes, { startLsn })
}

/** Where the last record ends, or the segment. */
function usedBytes({ bytes }: WalSegmentBytes): number {
  let used = bytes.length
  while (used > 1 && bytes[used - 1] === 0) used -= 1
  return used
}

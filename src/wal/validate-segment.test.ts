import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { WalBuilder } from '../../test/support/wal-builder.ts'
import { toLsn } from '../domain/lsn.ts'
import { toTimelineId } from '../domain/timeline.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import { toWalSegmentSize } from '../domain/wal-segment.ts'
import {
  readSegmentIdentity,
  validateSegment,
  type ExpectedSegment,
  type SegmentVerdict,
} from './validate-segment.ts'

const segmentSize = toWalSegmentSize(1 << 20)
const expected: ExpectedSegment = {
  name: '000000030000000000000007',
  segmentSize,
  systemIdentifier: 77n,
  major: 17,
  history: undefined,
}

describe('validateSegment', () => {
  test('accepts the segment that was expected, whole and .partial, by its first page alone', () => {
    const bytes = build()

    assert.deepEqual(judge(bytes), { kind: 'valid' })
    assert.deepEqual(judge(bytes, { name: `${expected.name}.partial` }), { kind: 'valid' })
    const file = { firstPage: bytes.subarray(0, 8192), sizeBytes: bytes.length }
    assert.deepEqual(validateSegment(file, expected), { kind: 'valid' })
  })

  describe('refuses, naming what it found and what it expected, (R25, M4)', () => {
    const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
      ['an empty file', new Uint8Array(0), /^is 0 bytes long, expected 1048576$/],
      ['a file cut off', build().subarray(0, 8192), /^is 8192 bytes long, expected 1048576$/],
      ['zeros', new Uint8Array(segmentSize), /^begins with a page of zeros, expected a WAL page header$/],
      [
        'no WAL at all',
        Buffer.alloc(segmentSize, 'text'),
        /^comes from an unknown version or is no WAL \(page magic 0x6574\), expected PostgreSQL 17 \(0xD116\)$/,
      ],
      ['another version', build({ major: 15 }), /^comes from PostgreSQL 15 .*, expected PostgreSQL 17/],
      [
        'another cluster',
        build({ systemIdentifier: 78n }),
        /^belongs to the cluster with system identifier 78, expected 77$/,
      ],
      [
        'a neighbour',
        build({ startLsn: 0x800000n }),
        /^holds the WAL from 0\/800000 on, expected 0\/700000 under this name$/,
      ],
      [
        'a younger timeline',
        build({ timeline: 4 }),
        /^begins on timeline 4, expected 3 or an ancestor of it$/,
      ],
      ['no timeline', build({ timeline: 0 }), /^begins on timeline 0, expected 3/],
      ['a short header', patched((bytes) => bytes.writeUInt16LE(0, 2)), /^does not begin with the header/],
      ['unknown flags', patched((bytes) => bytes.writeUInt16LE(0x12, 2)), /page flags 0x0012/],
      [
        'another segment size inside',
        patched((bytes) => bytes.writeUInt32LE(1 << 24, 32)),
        /segments of 16777216 bytes, expected 1048576$/,
      ],
      [
        'another page size',
        patched((bytes) => bytes.writeUInt32LE(4096, 36)),
        /pages of 4096 bytes, expected 8192$/,
      ],
    ]

    for (const [title, bytes, reason] of cases) {
      test(title, () => {
        const verdict = judge(bytes)

        assert.equal(verdict.kind, 'invalid')
        assert.match(verdict.reason, reason)
      })
    }
  })

  test('expects on the first page the timeline that owned its address, when it knows the history', () => {
    const forkInside = historyOf([1, 0x580000n], [2, 0x780000n])
    const forkAtStart = historyOf([1, 0x580000n], [2, 0x700000n])
    const bothInside = historyOf([1, 0x710000n], [2, 0x780000n])
    const forkAtEnd = historyOf([1, 0x580000n], [2, 0x800000n])

    assert.deepEqual(acceptedTimelines(forkInside), [2])
    assert.deepEqual(acceptedTimelines(forkAtStart), [3])
    assert.deepEqual(acceptedTimelines(bothInside), [1])
    // Such a segment never bears the new timeline's name.
    assert.deepEqual(acceptedTimelines(forkAtEnd), [])
  })

  test('accepts ancestors when it does not know the history', () => {
    assert.deepEqual(acceptedTimelines(undefined), [1, 2, 3])
  })

  test('judges any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 40, maxLength: 40 }), (header) => {
        const bytes = Buffer.alloc(segmentSize)
        bytes.set(header)

        assert.equal(judge(bytes).kind, 'invalid')
        readSegmentIdentity(bytes)
      }),
    )
  })

  test('refuses every change of a bit in the fields that it knows', () => {
    const known = [...Array(16).keys(), ...Array.from({ length: 16 }, (_, index) => 24 + index)]
    // xlp_info: the flags of a continued record and of optional page images say nothing about the segment.
    const free = new Set([2 * 8 + 0, 2 * 8 + 2, 2 * 8 + 3])
    for (const bit of known.flatMap((at) => Array.from({ length: 8 }, (_, index) => at * 8 + index))) {
      const bytes = patched((page) => page.writeUInt8(page.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3))
      const history = historyOf([1, 0x580000n], [2, 0x700000n])

      assert.equal(judge(bytes, { history }).kind, free.has(bit) ? 'valid' : 'invalid', `bit ${bit}`)
    }
  })
})

describe('readSegmentIdentity', () => {
  test('says who wrote a segment', () => {
    assert.deepEqual(readSegmentIdentity(build({ timeline: 2 })), {
      major: 17,
      systemIdentifier: 77n,
      segmentSize,
      timeline: 2,
      startLsn: 0x700000n,
    })
  })

  test('says so for a version that it does not know, without the version', () => {
    const identity = readSegmentIdentity(patched((bytes) => bytes.writeUInt16LE(0xd120, 0)))

    assert.deepEqual([identity?.major, identity?.systemIdentifier], [undefined, 77n])
  })

  test('finds none in what is not the first page of a segment', () => {
    const others = [
      new Uint8Array(0),
      new Uint8Array(39),
      new Uint8Array(8192),
      build().subarray(8192),
      build({ timeline: 0 }),
      patched((bytes) => bytes.writeUInt32LE(12_345, 32)),
      patched((bytes) => bytes.writeBigUInt64LE(0x702000n, 8)),
    ]

    for (const bytes of others) assert.equal(readSegmentIdentity(bytes), undefined)
  })
})

function judge(bytes: Uint8Array, changes: Partial<ExpectedSegment> = {}): SegmentVerdict {
  return validateSegment({ firstPage: bytes, sizeBytes: bytes.length }, { ...expected, ...changes })
}

/** The timelines that the first page of the expected segment may name. */
function acceptedTimelines(history: TimelineHistory | undefined): number[] {
  return [1, 2, 3, 4].filter((timeline) => judge(build({ timeline }), { history }).kind === 'valid')
}

function build(changes: ConstructorParameters<typeof WalBuilder>[0] = {}): Buffer {
  const builder = new WalBuilder({
    major: 17,
    startLsn: 0x700000n,
    systemIdentifier: 77n,
    timeline: 3,
    ...changes,
  })
  builder.append({})
  return Buffer.from(builder.segments[0]?.bytes ?? [])
}

function patched(change: (bytes: Buffer) => unknown): Buffer {
  const bytes = build()
  change(bytes)
  return bytes
}

/** Of timeline 3. */
function historyOf(...ancestors: readonly (readonly [number, bigint])[]): TimelineHistory {
  return {
    timeline: toTimelineId(3),
    ancestors: ancestors.map(([timeline, endLsn]) => ({
      timeline: toTimelineId(timeline),
      endLsn: toLsn(endLsn),
      reason: 'no recovery target specified',
    })),
  }
}

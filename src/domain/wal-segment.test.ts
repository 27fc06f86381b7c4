import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { parseLsn, toLsn } from './lsn.ts'
import { isOperationError } from './operation-error.ts'
import { toTimelineId } from './timeline.ts'
import {
  isWalSegmentName,
  isWalSegmentSize,
  nextSegmentName,
  parseSegmentName,
  segmentNameAt,
  segmentNameEndingAt,
  segmentRange,
  toWalSegmentSize,
} from './wal-segment.ts'

const mebibyte = 1024 * 1024
const sizeOf = (mebibytes: number) => toWalSegmentSize(mebibytes * mebibyte)
const one = toTimelineId(1)
const sizes = fc.integer({ min: 0, max: 10 }).map((exponent) => sizeOf(2 ** exponent))
const timelines = fc.integer({ min: 1, max: 2 ** 32 - 1 }).map(toTimelineId)
/** Below the last segment of all, which no server fills. */
const lsns = fc.bigInt({ min: 0n, max: 2n ** 64n - 2n ** 30n - 1n }).map(toLsn)

describe('toWalSegmentSize', () => {
  test('allows the eleven powers of two that initdb allows (M14)', () => {
    const allowed = Array.from({ length: 40 }, (_, exponent) => 2 ** exponent).filter(isWalSegmentSize)

    assert.deepEqual([allowed.length, allowed[0], allowed.at(-1)], [11, mebibyte, 1024 * mebibyte])
  })

  test('refuses every other number as damage', () => {
    for (const bytes of [0, -mebibyte, 3 * mebibyte, mebibyte + 1, 0.5, Number.NaN, Infinity]) {
      assert.throws(
        () => toWalSegmentSize(bytes),
        (error) => isOperationError(error, 'damaged'),
      )
    }
  })
})

describe('segmentNameAt', () => {
  test('names the segment that holds the byte', () => {
    assert.equal(segmentNameAt(one, parseLsn('0/3000000'), sizeOf(16)), '000000010000000000000003')
    assert.equal(segmentNameAt(one, parseLsn('0/2FFFFFF'), sizeOf(16)), '000000010000000000000002')
    assert.equal(
      segmentNameAt(toTimelineId(0x11), parseLsn('A/FF000000'), sizeOf(16)),
      '000000110000000A000000FF',
    )
  })

  test('ends a group of segments where the segment size says (M14)', () => {
    const last = parseLsn('0/FFFFFFFF')

    assert.equal(segmentNameAt(one, last, sizeOf(1)), '000000010000000000000FFF')
    assert.equal(segmentNameAt(one, last, sizeOf(16)), '0000000100000000000000FF')
    assert.equal(segmentNameAt(one, last, sizeOf(64)), '00000001000000000000003F')
    assert.equal(segmentNameAt(one, last, sizeOf(1024)), '000000010000000000000003')
  })

  test('names a segment whose bounds enclose the byte, on its timeline', () => {
    fc.assert(
      fc.property(timelines, lsns, sizes, (timeline, lsn, size) => {
        const segment = parseSegmentName(segmentNameAt(timeline, lsn, size), size)

        assert.equal(segment.timeline, timeline)
        assert.ok(segment.startLsn <= lsn && lsn < segment.endLsn)
        assert.equal(segment.endLsn - segment.startLsn, BigInt(size))
        assert.equal(segment.startLsn, segment.number * BigInt(size))
      }),
    )
  })

  test('orders names of one timeline as their positions', () => {
    fc.assert(
      fc.property(lsns, lsns, sizes, (a, b, size) => {
        const [first, second] = a <= b ? [a, b] : [b, a]

        assert.ok(segmentNameAt(one, first, size) <= segmentNameAt(one, second, size))
      }),
    )
  })
})

describe('segmentNameEndingAt', () => {
  test('names the segment before a boundary, whatever the server version says (M13)', () => {
    assert.equal(segmentNameEndingAt(one, parseLsn('0/3000000'), sizeOf(16)), '000000010000000000000002')
    assert.equal(segmentNameEndingAt(one, parseLsn('0/3000001'), sizeOf(16)), '000000010000000000000003')
  })

  test('takes LSN 0/0 for a bug', () => {
    assert.throws(() => segmentNameEndingAt(one, toLsn(0n), sizeOf(16)), assert.AssertionError)
  })
})

describe('parseSegmentName', () => {
  test('refuses names that this segment size never has (M14)', () => {
    const lasts = [
      [1, '000000010000000000000FFF', '000000010000000000001000'],
      [16, '0000000100000000000000FF', '000000010000000000000100'],
      [64, '00000001000000000000003F', '000000010000000000000040'],
      [1024, '000000010000000000000003', '000000010000000000000004'],
    ] as const

    for (const [mebibytes, possible, impossible] of lasts) {
      assert.equal(parseSegmentName(possible, sizeOf(mebibytes)).name, possible)
      assert.throws(
        () => parseSegmentName(impossible, sizeOf(mebibytes)),
        (error) => isOperationError(error, 'usage'),
      )
    }
  })

  test('refuses what is no segment name at all', () => {
    const name = '000000010000000000000001'
    const wrong = [
      '',
      name.slice(1),
      `${name}0`,
      `${name}.partial`,
      `${name}\n`,
      '00000000000000000000000A',
      name.replace('1', 'a'),
      'FFFFFFFFFFFFFFFF000000FF',
    ]
    for (const text of wrong) {
      assert.throws(
        () => parseSegmentName(text, sizeOf(16)),
        (error) => isOperationError(error, 'usage'),
        text,
      )
    }
  })

  test('answers any 24 hex digits with that segment or a usage error', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9A-F]{24}$/), sizes, (text, size) => {
        try {
          const { timeline, startLsn } = parseSegmentName(text, size)
          assert.equal(segmentNameAt(timeline, startLsn, size), text)
          assert.ok(isWalSegmentName(text))
        } catch (error) {
          assert.ok(isOperationError(error, 'usage'), String(error))
        }
      }),
    )
  })
})

describe('nextSegmentName', () => {
  test('goes over to the next group after the last of one (R29)', () => {
    const name = segmentNameAt(one, parseLsn('0/FF000000'), sizeOf(16))

    assert.equal(nextSegmentName(name, sizeOf(16)), '000000010000000100000000')
  })

  test('begins where the segment before it ends', () => {
    fc.assert(
      fc.property(timelines, lsns, sizes, (timeline, lsn, size) => {
        const segment = parseSegmentName(segmentNameAt(timeline, lsn, size), size)
        fc.pre(segment.endLsn < 2n ** 64n - BigInt(size))

        assert.equal(nextSegmentName(segment.name, size), segmentNameAt(timeline, segment.endLsn, size))
      }),
    )
  })
})

describe('segmentRange', () => {
  test('names every segment that holds a byte of the range', () => {
    const range = { from: parseLsn('0/FE000028'), to: parseLsn('1/1000000') }

    assert.deepEqual(
      [...segmentRange(one, range, sizeOf(16))],
      ['0000000100000000000000FE', '0000000100000000000000FF', '000000010000000100000000'],
    )
  })

  test('names none for an empty range', () => {
    const range = { from: parseLsn('0/3000028'), to: parseLsn('0/3000028') }

    assert.deepEqual([...segmentRange(one, range, sizeOf(16))], [])
  })

  test('is lazy, so a range over everything costs nothing', () => {
    const range = { from: toLsn(0n), to: toLsn(2n ** 64n - 1n) }

    assert.equal(segmentRange(one, range, sizeOf(1)).take(2).toArray().length, 2)
  })
})

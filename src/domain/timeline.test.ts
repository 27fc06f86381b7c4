import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isOperationError } from './operation-error.ts'
import { formatTimelineHex, parseTimelineHex, parseTimelineId, toTimelineId } from './timeline.ts'

const timelines = fc.integer({ min: 1, max: 2 ** 32 - 1 }).map(toTimelineId)

describe('parseTimelineId', () => {
  test('reads decimal (R29)', () => {
    assert.equal(parseTimelineId('10'), 10)
    assert.equal(parseTimelineId('4294967295'), 2 ** 32 - 1)
  })

  test('refuses hex, padding and what is out of range', () => {
    for (const text of [
      '',
      '0',
      '01',
      '0000000A',
      '00000010',
      'A',
      '0x11',
      '-1',
      '+1',
      '1.0',
      '4294967296',
      ' 1',
    ]) {
      assert.throws(
        () => parseTimelineId(text),
        (error) => isOperationError(error, 'usage'),
        text,
      )
    }
  })
})

describe('formatTimelineHex', () => {
  test('writes eight upper-case hex digits (R29)', () => {
    assert.equal(formatTimelineHex(toTimelineId(1)), '00000001')
    assert.equal(formatTimelineHex(toTimelineId(10)), '0000000A')
    assert.equal(formatTimelineHex(toTimelineId(2 ** 32 - 1)), 'FFFFFFFF')
  })

  test('is read back by parseTimelineHex', () => {
    fc.assert(
      fc.property(timelines, (timeline) => parseTimelineHex(formatTimelineHex(timeline)) === timeline),
    )
  })
})

describe('parseTimelineHex', () => {
  test('answers undefined for what names no timeline', () => {
    for (const text of ['', '00000000', '0000000a', '1', '000000001', '0000000G', ' 0000001']) {
      assert.equal(parseTimelineHex(text), undefined, text)
    }
  })
})

describe('toTimelineId', () => {
  test('takes what no timeline has for a bug', () => {
    for (const value of [0, -1, 1.5, 2 ** 32, Number.NaN]) {
      assert.throws(() => toTimelineId(value), assert.AssertionError)
    }
  })
})

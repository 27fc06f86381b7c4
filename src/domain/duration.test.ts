import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { formatDuration, parseDurationMs } from './duration.ts'
import { isOperationError } from './operation-error.ts'

const hourMs = 3_600_000

describe('parseDurationMs', () => {
  test('reads units from the greatest to the smallest', () => {
    assert.equal(parseDurationMs('14d'), 14 * 24 * hourMs)
    assert.equal(parseDurationMs('90s'), 90_000)
    assert.equal(parseDurationMs('1h30m'), 1.5 * hourMs)
    assert.equal(parseDurationMs('1h 30min'), 1.5 * hourMs)
    assert.equal(parseDurationMs('1w2d'), 9 * 24 * hourMs)
    assert.equal(parseDurationMs('250ms'), 250)
    assert.equal(parseDurationMs('0s'), 0)
  })

  test('refuses bare numbers, fractions, wrong order and other units', () => {
    for (const text of [
      '',
      '14',
      '1.5h',
      '-1d',
      '30m1h',
      '1h1h',
      '1y',
      '1M',
      'd',
      ' 1d',
      '1d ',
      '1d\n',
      '9999999d',
    ]) {
      assert.throws(
        () => parseDurationMs(text),
        (error) => isOperationError(error, 'usage'),
        text,
      )
    }
  })

  test('answers any text with a safe number or a usage error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.stringMatching(/^(\d{1,13}(w|d|h|m|s|ms) ?){1,6}$/), fc.string()), (text) => {
        try {
          assert.ok(Number.isSafeInteger(parseDurationMs(text)))
        } catch (error) {
          assert.ok(isOperationError(error, 'usage'), String(error))
        }
      }),
    )
  })
})

describe('formatDuration', () => {
  test('shows the two greatest units that matter', () => {
    assert.deepEqual(
      [
        2 * hourMs + 5 * 60_000 + 59_000,
        72 * hourMs,
        24 * hourMs + 60_000,
        25 * hourMs,
        90_000,
        45_900,
        350.7,
        0.4,
        0,
        -5,
      ].map(formatDuration),
      ['2 h 5 min', '3 days', '1 day', '1 day 1 h', '1 min 30 s', '45 s', '350 ms', '0 s', '0 s', '0 s'],
    )
  })

  test('is read back as no more than it was, and less than one twenty-fourth below', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1000, max: 999_999 * 24 * hourMs }), (durationMs) => {
        const readMs = parseDurationMs(formatDuration(durationMs))

        assert.ok(readMs <= durationMs && durationMs - readMs < Math.max(1000, durationMs / 24))
      }),
    )
  })
})

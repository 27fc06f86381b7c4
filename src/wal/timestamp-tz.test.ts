import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { formatTimestampTz, toUnixMicroseconds } from './timestamp-tz.ts'

describe('formatTimestampTz', () => {
  test('writes UTC with all six digits (M18, M20)', () => {
    assert.equal(formatTimestampTz(0n), '2000-01-01 00:00:00.000000+00')
    assert.equal(formatTimestampTz(825_000_000_123_457n), '2026-02-21 14:40:00.123457+00')
    assert.equal(formatTimestampTz(-1n), '1999-12-31 23:59:59.999999+00')
    assert.equal(formatTimestampTz(-946_684_800_000_001n), '1969-12-31 23:59:59.999999+00')
  })

  test('shows the number where there is no such date', () => {
    for (const time of [2n ** 63n - 1n, -(2n ** 63n)])
      assert.equal(formatTimestampTz(time), `timestamp ${time}`)
  })

  test('keeps the order of times', () => {
    const time = fc.bigInt({ min: -(10n ** 15n), max: 10n ** 16n })
    fc.assert(
      fc.property(time, time, (a, b) => {
        assert.equal(formatTimestampTz(a) < formatTimestampTz(b), a < b)
      }),
    )
  })
})

describe('toUnixMicroseconds', () => {
  test('moves the epoch from 2000 to 1970', () => {
    assert.equal(toUnixMicroseconds(1n), BigInt(Date.UTC(2000, 0, 1)) * 1000n + 1n)
  })
})

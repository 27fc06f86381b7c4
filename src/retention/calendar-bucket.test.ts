import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { instantFromMs, parseTargetTime } from '../domain/target-time.ts'
import { calendarBucket } from './calendar-bucket.ts'

const week = (time: string): string => calendarBucket(parseTargetTime(time), 'weekly')
const dayMs = 24 * 60 * 60 * 1000

describe('calendarBucket', () => {
  test('tells the day, month and year in UTC, whatever zone the time was written in (T3)', () => {
    const instant = parseTargetTime('2026-01-01 00:30:00+01:00')

    assert.equal(calendarBucket(instant, 'daily'), '2025-12-31')
    assert.equal(calendarBucket(instant, 'monthly'), '2025-12')
    assert.equal(calendarBucket(instant, 'yearly'), '2025')
  })

  test('gives a week to the year that its Thursday is in', () => {
    assert.equal(week('2026-01-01T00:00:00Z'), '2026-W01')
    assert.equal(week('2027-01-03T23:59:59Z'), '2026-W53')
    assert.equal(week('2027-01-04T00:00:00Z'), '2027-W01')
    assert.equal(week('2024-12-30T00:00:00Z'), '2025-W01')
    assert.equal(week('0001-01-01T00:00:00Z'), '0001-W01')
    assert.equal(week('9999-12-31T00:00:00Z'), '9999-W52')
  })

  test('puts two moments into one week exactly when the same Monday is before both', () => {
    const monday = (epochMs: number): number => Math.floor((epochMs / dayMs + 3) / 7)
    const moment = fc.integer({ min: -2 * 10 ** 13, max: 2 * 10 ** 14 })
    fc.assert(
      fc.property(moment, fc.integer({ min: -10 * dayMs, max: 10 * dayMs }), (first, distance) => {
        const [one, other] = [first, first + distance]
        const isSame =
          calendarBucket(instantFromMs(one), 'weekly') === calendarBucket(instantFromMs(other), 'weekly')

        assert.equal(isSame, monday(one) === monday(other))
      }),
    )
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { epochMsOf, type CalendarTime } from './calendar.ts'

describe('epochMsOf', () => {
  test('counts from the Unix epoch', () => {
    assert.equal(epochMsOf(midnight(1970, 1, 1)), 0)
    assert.equal(epochMsOf({ ...midnight(2026, 2, 20), hour: 15, minute: 30, second: 1 }), 1_771_601_401_000)
  })

  test('takes a year below 100 for what it says', () => {
    assert.equal(epochMsOf(midnight(1, 1, 1)), -62_135_596_800_000)
  })

  test('answers undefined for what no calendar has', () => {
    const wrong: CalendarTime[] = [
      midnight(0, 1, 1),
      midnight(10_000, 1, 1),
      midnight(2026, 0, 1),
      midnight(2026, 13, 1),
      midnight(2026, 2, 29),
      midnight(2100, 2, 29),
      midnight(2026, 1, 0),
      { ...midnight(2026, 1, 1), hour: 24 },
      { ...midnight(2026, 1, 1), minute: 60 },
      { ...midnight(2016, 12, 31), hour: 23, minute: 59, second: 60 },
      midnight(Number.NaN, 1, 1),
    ]
    for (const time of wrong) assert.equal(epochMsOf(time), undefined, JSON.stringify(time))
  })

  test('is the inverse of reading a UTC clock', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }), (date) => {
        const second = Math.floor(date.getTime() / 1000) * 1000

        assert.equal(
          epochMsOf({
            year: date.getUTCFullYear(),
            month: date.getUTCMonth() + 1,
            day: date.getUTCDate(),
            hour: date.getUTCHours(),
            minute: date.getUTCMinutes(),
            second: date.getUTCSeconds(),
          }),
          second,
        )
      }),
    )
  })
})

function midnight(year: number, month: number, day: number): CalendarTime {
  return { year, month, day, hour: 0, minute: 0, second: 0 }
}

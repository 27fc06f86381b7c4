import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { openTimeZone, readLocalTime, zoneOffsetMs, type TimeZone } from './time-zone.ts'

const hourMs = 3_600_000

describe('openTimeZone', () => {
  test('knows places, and UTC', () => {
    for (const name of ['Europe/Berlin', 'America/Argentina/Ushuaia', 'Asia/Kolkata', 'UTC', 'Etc/UTC']) {
      assert.notEqual(openTimeZone(name), undefined, name)
    }
  })

  test('knows no abbreviation, no reversed sign and no invention (M20)', () => {
    for (const name of [
      'EST',
      'IST',
      'CET',
      'GMT',
      'EST5EDT',
      'Etc/GMT+5',
      'Foo/Bar',
      '+01:00',
      '',
      '/',
      'a/'.repeat(99),
    ]) {
      assert.equal(openTimeZone(name), undefined, name)
    }
  })
})

describe('zoneOffsetMs', () => {
  test('follows daylight saving time, half hours and old seconds', () => {
    assert.equal(zoneOffsetMs(zone('Europe/Berlin'), Date.UTC(2026, 0, 1)), hourMs)
    assert.equal(zoneOffsetMs(zone('Europe/Berlin'), Date.UTC(2026, 6, 1)), 2 * hourMs)
    assert.equal(zoneOffsetMs(zone('America/St_Johns'), Date.UTC(2026, 0, 1)), -3.5 * hourMs)
    assert.equal(
      zoneOffsetMs(zone('America/New_York'), Date.UTC(1850, 0, 1)),
      -(4 * 3600 + 56 * 60 + 2) * 1000,
    )
    assert.equal(zoneOffsetMs(zone('UTC'), 0), 0)
  })
})

describe('readLocalTime', () => {
  test('finds the one moment of an ordinary time', () => {
    assert.deepEqual(readLocalTime(zone('Europe/Berlin'), Date.UTC(2026, 1, 20, 15, 30)), {
      kind: 'once',
      epochMs: Date.UTC(2026, 1, 20, 14, 30),
    })
  })

  test('finds both moments where clocks were set back', () => {
    assert.deepEqual(readLocalTime(zone('America/New_York'), Date.UTC(2026, 10, 1, 1, 30)), {
      kind: 'twice',
      earlierMs: Date.UTC(2026, 10, 1, 5, 30),
      laterMs: Date.UTC(2026, 10, 1, 6, 30),
    })
  })

  test('finds what could be meant where clocks were set forward', () => {
    assert.deepEqual(readLocalTime(zone('America/New_York'), Date.UTC(2026, 2, 8, 2, 30)), {
      kind: 'never',
      earlierMs: Date.UTC(2026, 2, 8, 6, 30),
      laterMs: Date.UTC(2026, 2, 8, 7, 30),
    })
  })

  test('knows the day that Samoa left out', () => {
    assert.equal(readLocalTime(zone('Pacific/Apia'), Date.UTC(2011, 11, 30, 12)).kind, 'never')
  })

  test('knows a shift of half an hour', () => {
    assert.equal(readLocalTime(zone('Australia/Lord_Howe'), Date.UTC(2026, 3, 5, 1, 45)).kind, 'twice')
    assert.equal(readLocalTime(zone('Australia/Lord_Howe'), Date.UTC(2026, 3, 5, 1, 15)).kind, 'once')
  })

  test('turns what clocks showed at any moment back into that moment', () => {
    const zones = Intl.supportedValuesOf('timeZone').filter((name) => name.includes('/'))
    const moments = fc.integer({ min: Date.UTC(1900, 0, 1) / 1000, max: Date.UTC(2037, 0, 1) / 1000 })
    fc.assert(
      fc.property(fc.constantFrom(...zones), moments, (name, seconds) => {
        const moment = seconds * 1000
        const reading = readLocalTime(zone(name), moment + zoneOffsetMs(zone(name), moment))

        assert.notEqual(reading.kind, 'never')
        assert.ok(Object.values(reading).includes(moment), JSON.stringify(reading))
      }),
      { numRuns: 200 },
    )
  })
})

function zone(name: string): TimeZone {
  const found = openTimeZone(name)
  assert.ok(found, name)
  return found
}

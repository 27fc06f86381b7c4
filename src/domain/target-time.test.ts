import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isOperationError, type OperationError } from './operation-error.ts'
import {
  formatForPostgres,
  formatInstant,
  instantFromMs,
  instantFromPostgres,
  instantToPostgres,
  parseTargetTime,
  toInstant,
  type Instant,
} from './target-time.ts'

const instants = fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n }).map(toInstant)

describe('parseTargetTime', () => {
  test('keeps microseconds, whatever the zone is written as (M18, R42)', () => {
    const forms = [
      '2026-02-20T15:30:00.123456+01:00',
      '2026-02-20 15:30:00.123456+01',
      '2026-02-20 15:30:00.123456 +0100',
      '2026-02-20 15:30:00.123456 Europe/Berlin',
      '2026-02-20 20:00:00.123456 Asia/Kolkata',
      '2026-02-20T14:30:00.123456Z',
      '2026-02-20 14:30:00.123456 UTC',
    ]
    for (const text of forms) {
      assert.equal(formatInstant(parseTargetTime(text)), '2026-02-20T14:30:00.123456Z', text)
    }
  })

  test('takes missing seconds and digits for zero', () => {
    assert.equal(formatInstant(parseTargetTime('2026-02-20 15:30Z')), '2026-02-20T15:30:00.000000Z')
    assert.equal(formatInstant(parseTargetTime('2026-02-20 15:30:00.5Z')), '2026-02-20T15:30:00.500000Z')
  })

  test('reads times before 1970, with the fraction counting forward', () => {
    assert.equal(parseTargetTime('1969-12-31T23:59:59.999999Z'), -1n)
  })

  test('asks for a zone and shows the same time with one (R42)', () => {
    const error = refusal('2026-02-20 15:30:00.25')

    assert.equal(error.code, 'usage')
    assert.match(error.message, /names no time zone/)
    assert.match(error.hint ?? '', /"2026-02-20 15:30:00\.25\+01:00"/)
    assert.match(error.hint ?? '', /Europe\/Berlin/)
  })

  test('refuses abbreviations, which servers read differently (M20)', () => {
    for (const abbreviation of ['EST', 'IST', 'CET', 'EDT', 'GMT', 'EST5EDT', 'Etc/GMT+5', 'Foo/Bar']) {
      const error = refusal(`2026-02-20 15:30:00 ${abbreviation}`)
      assert.equal(error.code, 'usage')
      assert.ok(error.message.includes(`"${abbreviation}"`), error.message)
    }
  })

  test('refuses a time that came twice and names both moments (M20)', () => {
    const error = refusal('2026-11-01 01:30:00.5 America/New_York')

    assert.equal(error.code, 'target-ambiguous')
    assert.match(error.message, /2026-11-01T05:30:00\.5Z and at 2026-11-01T06:30:00\.5Z/)
  })

  test('refuses a time that never came and names both moments (M20)', () => {
    const error = refusal('2026-03-08 02:30:00 America/New_York')

    assert.equal(error.code, 'target-ambiguous')
    assert.match(error.message, /2026-03-08T06:30:00Z or 2026-03-08T07:30:00Z/)
  })

  test('takes an ambiguous local time that has an offset', () => {
    assert.equal(formatInstant(parseTargetTime('2026-11-01 01:30:00-04:00')), '2026-11-01T05:30:00.000000Z')
  })

  test('refuses words, bare numbers, wrong calendars and more digits than PostgreSQL keeps (R42, R79)', () => {
    const wrong = [
      '',
      'now',
      'today',
      'yesterday',
      'epoch',
      'infinity',
      '1771601400',
      '1771601400.5Z',
      '15:30:00Z',
      '2026-02-20',
      '2026-02-20Z',
      '20.02.2026 15:30:00Z',
      '02/20/2026 15:30:00Z',
      '26-02-20 15:30:00Z',
      '2026-2-20 15:30:00Z',
      '2026-02-30 15:30:00Z',
      '2026-02-20 24:00:00Z',
      '2026-02-20 23:59:60Z',
      '2026-02-20 3:30 PM Europe/Berlin',
      '2026-02-20 15:30:00,5Z',
      '2026-02-20 15:30:00.1234567Z',
      '2026-02-20 15:30:00+16:00',
      '2026-02-20 15:30:00+01:60',
      '2026-02-20 15:30:00+1',
      '2026-02-20 15:30:00+01:00 Europe/Berlin',
      '2026-02-20T15:30:00+01:00[Europe/Berlin]',
      '2026-02-20 15:30:00  UTC',
      ' 2026-02-20 15:30:00Z',
      '2026-02-20 15:30:00Z\n',
      '0000-01-01 00:00:00Z',
      '0001-01-01 00:00:00+01:00',
      '9999-12-31 23:59:59-01:00',
      '+002026-02-20T15:30:00Z',
    ]
    for (const text of wrong) assert.equal(refusal(text).code, 'usage', text)
  })

  test('reads back what formatInstant and formatForPostgres write', () => {
    fc.assert(
      fc.property(instants, (instant) => {
        assert.equal(parseTargetTime(formatInstant(instant)), instant)
        assert.equal(parseTargetTime(formatForPostgres(instant)), instant)
      }),
    )
  })

  test('reads a moment at any offset as that moment', () => {
    const recent = fc.bigInt({ min: 0n, max: 4_000_000_000_000_000n })
    fc.assert(
      fc.property(recent, fc.integer({ min: -959, max: 959 }), (microseconds, offsetMinutes) => {
        const local = formatInstant(toInstant(microseconds + BigInt(offsetMinutes) * 60_000_000n))

        assert.equal(parseTargetTime(local.replace('Z', offsetOf(offsetMinutes))), microseconds)
      }),
    )
  })

  test('answers any text with an instant or a typed error', () => {
    const nearly = fc.stringMatching(
      /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,7})?)?( ?(Z|[+-]\d\d:\d\d|[A-Z]{3}|[A-Z][a-z]{1,5}\/[A-Z][a-z]{1,5}))?$/,
    )
    fc.assert(
      fc.property(fc.oneof(nearly, fc.string({ unit: 'binary' })), (text) => {
        try {
          parseTargetTime(text)
        } catch (error) {
          assert.ok(
            isOperationError(error, 'usage') || isOperationError(error, 'target-ambiguous'),
            String(error),
          )
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('formatInstant', () => {
  test('always writes six digits and Z', () => {
    assert.equal(formatInstant(toInstant(0n)), '1970-01-01T00:00:00.000000Z')
    assert.equal(formatInstant(toInstant(-1n)), '1969-12-31T23:59:59.999999Z')
    assert.equal(formatInstant(toInstant(253_402_300_799_999_999n)), '9999-12-31T23:59:59.999999Z')
    assert.equal(formatInstant(toInstant(-62_135_596_800_000_000n)), '0001-01-01T00:00:00.000000Z')
  })

  test('orders texts as instants', () => {
    fc.assert(fc.property(instants, instants, (a, b) => a < b === formatInstant(a) < formatInstant(b)))
  })
})

describe('formatForPostgres', () => {
  test('names its offset, so that no server setting matters (R42)', () => {
    const instant = parseTargetTime('2026-02-20T15:30:00.000001+01:00')

    assert.equal(formatForPostgres(instant), '2026-02-20 14:30:00.000001+00')
  })
})

describe('instantFromPostgres', () => {
  test('counts from 2000-01-01', () => {
    assert.equal(formatInstant(instantFromPostgres(0n)), '2000-01-01T00:00:00.000000Z')
  })

  test('undoes instantToPostgres', () => {
    fc.assert(fc.property(instants, (instant) => instantFromPostgres(instantToPostgres(instant)) === instant))
  })

  test('refuses infinity and what lies outside of our years as damage', () => {
    for (const timestamp of [2n ** 63n - 1n, -(2n ** 63n)]) {
      assert.throws(
        () => instantFromPostgres(timestamp),
        (error) => isOperationError(error, 'damaged'),
      )
    }
  })
})

describe('instantFromMs', () => {
  test('rounds down to the millisecond', () => {
    assert.equal(instantFromMs(1.9), 1000n)
    assert.equal(instantFromMs(-0.5), -1000n)
  })
})

describe('toInstant', () => {
  test('takes what is outside of the years 0001 to 9999 for a bug', () => {
    assert.throws((): Instant => toInstant(253_402_300_800_000_000n), assert.AssertionError)
  })
})

function refusal(text: string): OperationError {
  try {
    parseTargetTime(text)
  } catch (error) {
    assert.ok(isOperationError(error), String(error))
    return error
  }
  return assert.fail(`${text} was accepted`)
}

function offsetOf(minutes: number): string {
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
  return `${minutes < 0 ? '-' : '+'}${String(hours).padStart(2, '0')}:${String(rest).padStart(2, '0')}`
}

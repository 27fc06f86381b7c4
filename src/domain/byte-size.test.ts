import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { formatByteSize, parseByteSize } from './byte-size.ts'
import { isOperationError } from './operation-error.ts'

describe('parseByteSize', () => {
  test('counts in powers of 1024, whichever way the unit is written', () => {
    for (const text of [
      '64MB',
      '64 MB',
      '64mb',
      '64MiB',
      '65536kB',
      '65536KiB',
      '67108864',
      '67108864B',
      '0.0625GB',
    ]) {
      assert.equal(parseByteSize(text), 64 * 1024 * 1024, text)
    }
    assert.equal(parseByteSize('1TB'), 1024 ** 4)
    assert.equal(parseByteSize('2PiB'), 2 * 1024 ** 5)
  })

  test('refuses what is not a size or beyond exact numbers', () => {
    for (const text of [
      '',
      'MB',
      '-1MB',
      '1,5GB',
      '64M',
      '64Mbit',
      '1e3',
      '64  MB',
      '9999999999PB',
      '1ib',
      '64MB\n',
    ]) {
      assert.throws(
        () => parseByteSize(text),
        (error) => isOperationError(error, 'usage'),
        text,
      )
    }
  })

  test('answers any text with a whole number of bytes or a usage error', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.stringMatching(/^\d{1,18}(\.\d{1,7})? ?[kMGTPE]?i?B?$/), fc.string()),
        (text) => {
          try {
            assert.ok(Number.isSafeInteger(parseByteSize(text)))
          } catch (error) {
            assert.ok(isOperationError(error, 'usage'), String(error))
          }
        },
      ),
    )
  })
})

describe('formatByteSize', () => {
  test('keeps the number short and the unit fitting', () => {
    assert.deepEqual(
      [0, 1, 1023, 1024, 1536, 64 * 1024 ** 2, 1.24 * 1024 ** 3, 123.4 * 1024 ** 3, 1024 ** 2 - 1].map(
        formatByteSize,
      ),
      ['0 B', '1 B', '1023 B', '1 kB', '1.5 kB', '64 MB', '1.2 GB', '123 GB', '1 MB'],
    )
    assert.equal(formatByteSize(2n ** 64n), '16 EB')
  })

  test('is read back within a twentieth', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 52 }), (bytes) => {
        assert.ok(Math.abs(parseByteSize(formatByteSize(bytes)) - bytes) <= bytes / 20)
      }),
    )
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isOperationError } from './operation-error.ts'
import { parseSystemIdentifier, toSystemIdentifier } from './system-identifier.ts'

describe('parseSystemIdentifier', () => {
  test('keeps every digit (R71, M18)', () => {
    assert.equal(parseSystemIdentifier('7710220844401826856'), '7710220844401826856')
  })

  test('reads back what toSystemIdentifier makes of any 64 bits', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        assert.equal(BigInt(parseSystemIdentifier(toSystemIdentifier(value))), value)
      }),
    )
  })

  test('refuses what is not 64 bits in decimal', () => {
    for (const text of [
      '',
      '01',
      '-1',
      '0x1',
      '1.0',
      '1e3',
      ' 1',
      '1\n',
      '18446744073709551616',
      '9'.repeat(99),
    ]) {
      assert.throws(
        () => parseSystemIdentifier(text),
        (error) => isOperationError(error, 'usage'),
        text,
      )
    }
  })
})

describe('toSystemIdentifier', () => {
  test('takes what does not fit for a bug', () => {
    assert.throws(() => toSystemIdentifier(2n ** 64n), assert.AssertionError)
    assert.throws(() => toSystemIdentifier(-1n), assert.AssertionError)
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { formatLsn, parseLsn, toLsn } from './lsn.ts'
import { isOperationError } from './operation-error.ts'

const lsns = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(toLsn)

describe('parseLsn', () => {
  test('reads both halves as hex (R71)', () => {
    assert.equal(parseLsn('0/3000000'), 0x3000000n)
    assert.equal(parseLsn('FFFFFFFF/FFFFFFFF'), 2n ** 64n - 1n)
    assert.equal(parseLsn('1a/b'), 0x1a_0000_000bn)
    assert.equal(parseLsn('0/03000000'), 0x3000000n)
  })

  test('reads back what formatLsn writes', () => {
    fc.assert(fc.property(lsns, (lsn) => parseLsn(formatLsn(lsn)) === lsn))
  })

  test('refuses everything that only resembles an LSN', () => {
    for (const text of [
      '',
      '/',
      '0',
      '0/',
      '/0',
      ' 0/0',
      '0/0 ',
      '0/0\n',
      '0/-1',
      '0x0/0',
      '000000000/0',
      '0/0/0',
    ]) {
      assert.throws(
        () => parseLsn(text),
        (error) => isOperationError(error, 'usage'),
        text,
      )
    }
  })

  test('answers any text with an LSN or a usage error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-g]{0,10}\/?[0-9a-g]{0,10}$/)), (text) => {
        try {
          parseLsn(text)
        } catch (error) {
          assert.ok(isOperationError(error, 'usage'))
        }
      }),
    )
  })
})

describe('formatLsn', () => {
  test('writes as PostgreSQL does: upper case, no padding', () => {
    assert.equal(formatLsn(toLsn(0n)), '0/0')
    assert.equal(formatLsn(toLsn(0x3000000n)), '0/3000000')
    assert.equal(formatLsn(toLsn(0x1a_0000_00abn)), '1A/AB')
  })
})

describe('toLsn', () => {
  test('takes a number that does not fit for a bug', () => {
    assert.throws(() => toLsn(-1n), assert.AssertionError)
    assert.throws(() => toLsn(2n ** 64n), assert.AssertionError)
  })
})

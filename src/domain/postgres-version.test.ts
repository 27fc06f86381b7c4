import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isOperationError } from './operation-error.ts'
import {
  formatPostgresVersion,
  parsePostgresMajor,
  parseServerVersionNum,
  postgresMajors,
} from './postgres-version.ts'

describe('parseServerVersionNum', () => {
  test('reads the supported versions (R2)', () => {
    assert.deepEqual(parseServerVersionNum('150018'), { major: 15, minor: 18 })
    assert.deepEqual(
      postgresMajors.map((major) => parseServerVersionNum(String(major * 10_000)).major),
      [14, 15, 16, 17, 18],
    )
  })

  test('refuses other versions and says which are supported', () => {
    for (const text of ['90624', '130022', '190000', '15.18', '', '15', '-150018', '1500180', '150018\n']) {
      assert.throws(
        () => parseServerVersionNum(text),
        (error) => isOperationError(error, 'server-unsuitable') && error.message.includes('14 to 18'),
        text,
      )
    }
  })
})

describe('parsePostgresMajor', () => {
  test('reads PG_VERSION with its line end', () => {
    assert.equal(parsePostgresMajor('18\n'), 18)
    assert.equal(parsePostgresMajor('14'), 14)
  })

  test('refuses other versions', () => {
    for (const text of ['13\n', '9.6\n', '', '18\n\n', 'x', '018']) {
      assert.throws(
        () => parsePostgresMajor(text),
        (error) => isOperationError(error, 'server-unsuitable'),
        text,
      )
    }
  })
})

describe('formatPostgresVersion', () => {
  test('writes major and minor', () => {
    assert.equal(formatPostgresVersion(parseServerVersionNum('170010')), '17.10')
  })
})

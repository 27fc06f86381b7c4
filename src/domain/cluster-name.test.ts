import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isClusterName, isRepoName, parseClusterName, parseRepoName } from './cluster-name.ts'
import { isOperationError } from './operation-error.ts'

describe('parseClusterName', () => {
  test('takes lower-case names of up to 63 characters', () => {
    for (const name of ['main', '0', 'shop-eu_1', 'x'.repeat(63)]) assert.equal(parseClusterName(name), name)
  })

  test('refuses what could mislead a path, a shell or a key', () => {
    for (const name of [
      '',
      '-x',
      '_x',
      '.',
      '..',
      'a/b',
      'a b',
      'Main',
      'ä',
      'x'.repeat(64),
      'a\n',
      'a\0',
      '$(x)',
    ]) {
      assert.throws(
        () => parseClusterName(name),
        (error) => isOperationError(error, 'usage') && error.message.includes('cluster'),
        name,
      )
    }
  })

  test('takes only what is safe everywhere', () => {
    fc.assert(fc.property(fc.string(), (text) => !isClusterName(text) || /^[a-z0-9_-]+$/.test(text)))
  })
})

describe('parseRepoName', () => {
  test('follows the same rules', () => {
    assert.equal(parseRepoName('s3-eu'), 's3-eu')
    assert.ok(!isRepoName('S3'))
    assert.throws(
      () => parseRepoName('S3'),
      (error) => isOperationError(error, 'usage') && error.message.includes('repository'),
    )
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { configurationSchema } from './configuration-schema.ts'
import { parseS3Setting, readS3Settings, type S3Text } from './read-s3-settings.ts'

describe('the settings of a bucket', () => {
  test('have defaults for AWS', () => {
    assert.deepEqual(readS3Settings({}), {
      region: 'us-east-1',
      maxRequests: 8,
      idleTimeout: 30_000,
      callTimeout: 900_000,
    })
  })

  for (const [written, message] of [
    [{ endpoint: 'http://store.example' }, /endpoint: expected https:.*http only to this machine/],
    [{ endpoint: 'https://user:canary@store.example' }, /endpoint: expected https:/],
    [{ endpoint: 'https://store.example/path' }, /endpoint: expected https:/],
    [{ 'access-key-id': 'K' }, /both of access-key-id and secret-key-file, or neither, found one/],
    [{ 'session-token-file': '/t' }, /session-token-file, found only the latter/],
    [{ profile: 'p', 'access-key-id': 'K', 'secret-key-file': '/s' }, /either access-key-id or profile/],
    [{ 'kms-key-id': 'k' }, /server-side-encryption: aws:kms with kms-key-id/],
    [{ 'storage-class': 'DEEP_ARCHIVE' }, /a storage class that is read at once/],
    [{ 'secret-key': 'canary' }, /expected the name of a setting, found "secret-key"/],
  ] as readonly (readonly [S3Text, RegExp])[]) {
    test(`are refused: ${JSON.stringify(written)}`, () => {
      assert.throws(
        () => readS3Settings(written),
        (error) => error instanceof Error && message.test(error.message) && !/canary/.test(error.message),
      )
    })
  }

  test('may name a place without TLS on this machine', () => {
    for (const endpoint of [
      'http://127.0.0.1:9000',
      'http://[::1]:9000',
      'http://localhost',
      'https://a.b:1',
    ]) {
      assert.equal(readS3Settings({ endpoint }).endpoint, endpoint)
    }
  })

  test('are read from NAME=VALUE', () => {
    assert.deepEqual(parseS3Setting('path-style=false'), { 'path-style': false })
    assert.deepEqual(parseS3Setting('max-requests=4'), { 'max-requests': 4 })
    assert.deepEqual(parseS3Setting('endpoint=https://a?b=c'), { endpoint: 'https://a?b=c' })
    assert.throws(() => parseS3Setting('canary'), /expected NAME=VALUE, found something else/)
  })

  test('belong to a location in S3, which has them also when none are written', () => {
    assert.equal(
      parse({ location: 's3:bucket/a' }).data?.repos['local' as never]?.['s3' as never]?.['region'],
      'us-east-1',
    )
    assert.equal(parse({ location: 'posix:/a', s3: {} }).success, false)
  })
})

function parse(repo: object): ReturnType<typeof configurationSchema.safeParse> {
  return configurationSchema.safeParse({ repos: { local: { encryption: 'none', ...repo } } })
}

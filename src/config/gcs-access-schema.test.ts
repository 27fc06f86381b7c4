import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { configurationSchema } from './configuration-schema.ts'
import { readGcsSettings, type StoreText } from './read-store-settings.ts'

describe('the settings of a bucket of Google Cloud Storage', () => {
  test('have defaults', () => {
    assert.deepEqual(readGcsSettings({}), {
      anonymous: false,
      maxRequests: 8,
      idleTimeout: 30_000,
      callTimeout: 900_000,
    })
  })

  for (const [written, message] of [
    [{ endpoint: 'http://store.example' }, /endpoint: expected https:.*http only to this machine/],
    [
      { 'credentials-file': '{"private_key":"canary"}' },
      /credentials-file: expected an absolute path, found another/,
    ],
    [{ anonymous: true }, /an endpoint with anonymous/],
    [
      { anonymous: true, endpoint: 'http://127.0.0.1:4443', 'credentials-file': '/c' },
      /either credentials-file or anonymous, found both/,
    ],
    [{ 'storage-class': 'GLACIER' }, /storage-class: expected "STANDARD" or/],
    [{ 'kms-key': 'key' }, /kms-key: expected projects\//],
    [{ 'access-key-id': 'canary' }, /expected the name of a setting, found "access-key-id"/],
  ] as readonly (readonly [StoreText, RegExp])[]) {
    test(`are refused: ${JSON.stringify(written)}`, () => {
      assert.throws(
        () => readGcsSettings(written),
        (error) => error instanceof Error && message.test(error.message) && !/canary/.test(error.message),
      )
    })
  }

  test('belong to a location there, which has them also when none are written', () => {
    const parsed = parse({ location: 'gcs:bucket/a' })

    assert.equal(parsed.data?.repos['local' as never]?.['gcs' as never]?.['anonymous'], false)
    assert.equal(parse({ location: 's3:bucket', gcs: {} }).success, false)
    assert.equal(parse({ location: 'gcs:bucket', s3: {} }).success, false)
  })
})

function parse(repo: object): ReturnType<typeof configurationSchema.safeParse> {
  return configurationSchema.safeParse({ repos: { local: { encryption: 'none', ...repo } } })
}

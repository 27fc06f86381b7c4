import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { configurationSchema } from './configuration-schema.ts'
import {
  parseStoreSetting,
  readAzureSettings,
  readS3Settings,
  readSftpSettings,
  type StoreText,
} from './read-store-settings.ts'

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
    [{ 'retention-mode': 'compliance' }, /retention-days with retention-mode/],
    [{ 'secret-key': 'canary' }, /expected the name of a setting, found "secret-key"/],
  ] as readonly (readonly [StoreText, RegExp])[]) {
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
    assert.deepEqual(parseStoreSetting('s3', 'path-style=false'), { 'path-style': false })
    assert.deepEqual(parseStoreSetting('s3', 'max-requests=4'), { 'max-requests': 4 })
    assert.deepEqual(parseStoreSetting('s3', 'endpoint=https://a?b=c'), { endpoint: 'https://a?b=c' })
    assert.throws(() => parseStoreSetting('s3', 'canary'), /expected NAME=VALUE, found something else/)
  })

  test('are read from NAME=VALUE for another kind likewise', () => {
    assert.throws(() => parseStoreSetting('sftp', 'canary'), /reading --sftp: expected NAME=VALUE/)
  })

  test('belong to a location in S3, which has them also when none are written', () => {
    assert.equal(
      parse({ location: 's3:bucket/a' }).data?.repos['local' as never]?.['s3' as never]?.['region'],
      'us-east-1',
    )
    assert.equal(parse({ location: 'posix:/a', s3: {} }).success, false)
  })
})

describe('the settings of an SFTP server', () => {
  test('have defaults besides the login', () => {
    assert.deepEqual(readSftpSettings({ 'password-file': '/p' }), {
      passwordFile: '/p',
      maxRequests: 8,
      idleTimeout: 60_000,
      callTimeout: 900_000,
    })
  })

  for (const [written, message] of [
    [{}, /exactly one of private-key-file, agent-socket and password-file, found none/],
    [{ 'password-file': '/p', 'agent-socket': '/a' }, /exactly one of .* found several/],
    [{ 'password-file': 'canary' }, /password-file: expected an absolute path, found another text/],
    [
      { 'password-file': '/p', 'private-key-passphrase-file': '/q' },
      /private-key-file with private-key-passphrase-file, found only the latter/,
    ],
    [
      { 'password-file': '/p', 'host-key': `SHA256:${'A'.repeat(43)}`, 'known-hosts-file': '/k' },
      /either host-key or known-hosts-file, found both/,
    ],
    [{ 'password-file': '/p', 'host-key': 'MD5:00' }, /host-key: expected the fingerprint of a key/],
    [{ password: 'canary' }, /expected the name of a setting, found "password"/],
  ] as readonly (readonly [StoreText, RegExp])[]) {
    test(`are refused: ${JSON.stringify(written)}`, () => {
      assert.throws(
        () => readSftpSettings(written),
        (error) => error instanceof Error && message.test(error.message) && !/canary/.test(error.message),
      )
    })
  }

  test('belong to a location there, which needs them', () => {
    const location = 'sftp:backup@host.example:2222/srv/repo'
    assert.equal(parse({ location, sftp: { 'agent-socket': '/a' } }).success, true)
    assert.equal(parse({ location }).success, false)
    assert.equal(parse({ location: 's3:bucket', sftp: { 'agent-socket': '/a' } }).success, false)
  })
})

describe('the settings of a container in Azure', () => {
  test('have defaults besides the account and the proof of who asks', () => {
    assert.deepEqual(readAzureSettings({ account: 'acme', 'key-file': '/k' }), {
      account: 'acme',
      keyFile: '/k',
      maxRequests: 8,
      idleTimeout: 30_000,
      callTimeout: 900_000,
    })
  })

  for (const [written, message] of [
    [{ 'key-file': '/k' }, /account: expected the name of a storage account, found nothing/],
    [{ account: 'acme' }, /exactly one of key-file, sas-file and auth, found none/],
    [{ account: 'acme', 'key-file': '/k', auth: 'managed-identity' }, /exactly one of .* found several/],
    [
      { account: 'acme', 'sas-file': 'sig=canary' },
      /sas-file: expected an absolute path, found another text/,
    ],
    [{ account: 'acme', auth: 'cli' }, /auth: expected "managed-identity" or "workload-identity"/],
    [{ account: 'acme', 'key-file': '/k', 'client-id': 'i' }, /auth with client-id, found only the latter/],
    [
      { account: 'acme', auth: 'managed-identity', 'tenant-id': 't' },
      /auth: workload-identity with tenant-id and token-file/,
    ],
    [{ account: 'acme', 'key-file': '/k', 'access-tier': 'archive' }, /"hot" or "cool" or "cold"/],
    [{ account: 'acme', 'key-file': '/k', endpoint: 'http://store.example' }, /endpoint: expected https:/],
    [{ account: 'acme', key: 'canary' }, /expected the name of a setting, found "key"/],
  ] as readonly (readonly [StoreText, RegExp])[]) {
    test(`are refused: ${JSON.stringify(written)}`, () => {
      assert.throws(
        () => readAzureSettings(written),
        (error) => error instanceof Error && message.test(error.message) && !/canary/.test(error.message),
      )
    })
  }

  test('belong to a location there, which needs them', () => {
    const azure = { account: 'acme', 'key-file': '/k' }
    assert.equal(parse({ location: 'azure:box/a', azure }).success, true)
    assert.equal(parse({ location: 'azure:box/a' }).success, false)
    assert.equal(parse({ location: 's3:bucket', azure }).success, false)
  })
})

function parse(repo: object): ReturnType<typeof configurationSchema.safeParse> {
  return configurationSchema.safeParse({ repos: { local: { encryption: 'none', ...repo } } })
}

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { systemClock } from '../platform/system-clock.ts'
import { createStore, formatRepositoryLocation, openStore, parseRepositoryLocation } from './open-store.ts'

describe('parseRepositoryLocation', () => {
  test('reads a path, and brings it into its plain form', () => {
    for (const text of ['posix:/srv/backup', 'posix:/srv/backup/', 'posix://srv/./x/../backup//']) {
      assert.deepEqual(parseRepositoryLocation(text), { kind: 'posix', path: '/srv/backup' })
    }
    assert.deepEqual(parseRepositoryLocation('posix:/a:b'), { kind: 'posix', path: '/a:b' })
  })

  test('reads a bucket, with or without a prefix', () => {
    for (const text of ['s3:bucket/some/prefix', 's3:bucket/some/prefix/']) {
      assert.deepEqual(parseRepositoryLocation(text), {
        kind: 's3',
        bucket: 'bucket',
        keyPrefix: 'some/prefix/',
      })
    }
    assert.deepEqual(parseRepositoryLocation('s3:bucket'), { kind: 's3', bucket: 'bucket', keyPrefix: '' })
    assert.equal(formatRepositoryLocation(parseRepositoryLocation('s3:bucket/a/b/')), 's3:bucket/a/b')
    assert.equal(formatRepositoryLocation(parseRepositoryLocation('s3:bucket/')), 's3:bucket')
  })

  test('reads a bucket of Google Cloud Storage', () => {
    const place = { kind: 'gcs', bucket: 'bucket', keyPrefix: 'some/prefix/' } as const

    assert.deepEqual(parseRepositoryLocation('gcs:bucket/some/prefix/'), place)
    assert.equal(formatRepositoryLocation(place), 'gcs:bucket/some/prefix')
    assert.equal(formatRepositoryLocation({ ...place, keyPrefix: '' }), 'gcs:bucket')
  })

  test('reads a server, with or without a port', () => {
    const place = { kind: 'sftp', user: 'backup', host: 'host.example', port: 22, path: '/srv/a' } as const
    assert.deepEqual(parseRepositoryLocation('sftp:backup@host.example/srv//a/'), place)
    const other = parseRepositoryLocation('sftp:backup@[fe80::1]:2222/srv/a')
    assert.deepEqual(other, { ...place, host: 'fe80::1', port: 2222 })
    assert.equal(formatRepositoryLocation(place), 'sftp:backup@host.example/srv/a')
    assert.equal(formatRepositoryLocation(other), 'sftp:backup@[fe80::1]:2222/srv/a')
  })

  test('reads a container, with or without a prefix', () => {
    const place = { kind: 'azure', container: 'my-box', keyPrefix: 'some/prefix/' } as const
    assert.deepEqual(parseRepositoryLocation('azure:my-box/some/prefix/'), place)
    assert.equal(formatRepositoryLocation(place), 'azure:my-box/some/prefix')
    assert.equal(formatRepositoryLocation(parseRepositoryLocation('azure:my-box/')), 'azure:my-box')
  })

  for (const [text, message] of [
    ['/srv/backup', /found no kind/],
    ['', /found no kind/],
    ['posix:', /absolute path, found ""/],
    ['posix:srv/backup', /absolute path, found "srv\/backup"/],
    ['posix:/', /found the root directory/],
    ['posix:/a\0b', /found a NUL character/],
    ['ftp:host', /found "ftp"/],
    ['s3:', /name of a bucket/],
    ['s3:/prefix', /name of a bucket/],
    ['s3:bucket/a//b', /names out of/],
    ['s3:bucket/.hidden', /names out of/],
    ['sftp:user:secret@host/path', /expected sftp:user@host\/path .* found something else/],
    ['sftp:user@host', /expected sftp:user@host\/path/],
    ['sftp:host/path', /expected sftp:user@host\/path/],
    ['sftp:user@host:99999/path', /expected sftp:user@host\/path/],
    ['sftp:user@host:/path', /expected sftp:user@host\/path/],
    ['sftp:user@host/', /found the root directory/],
    ['azure:', /name of a container/],
    ['azure:Box', /name of a container/],
    ['azure:my--box', /name of a container/],
    ['azure:box/a//b', /after the container names out of/],
    ['gcs:', /name of a bucket after "gcs:"/],
    ['gcs:bucket/a//b', /names out of/],
  ] as const) {
    test(`refuses ${JSON.stringify(text)}`, () => {
      const refusal = { code: 'config-invalid', message }

      assert.throws(() => parseRepositoryLocation(text), refusal)
    })
  }

  test('does not repeat a secret', () => {
    assert.throws(
      () => parseRepositoryLocation('sftp:user:secret@host/path'),
      (error) => error instanceof Error && !error.message.includes('secret'),
    )
  })
})

describe('openStore', () => {
  test('opens what createStore created, and nothing else', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-open-'))
    await using cleanup = new AsyncDisposableStack()
    cleanup.defer(() => rm(folder, { recursive: true }))
    const location = parseRepositoryLocation(`posix:${folder}/store`)
    const context = { clock: systemClock, signal: new AbortController().signal }

    await assert.rejects(openStore(location, { access: 'write' }, context), { code: 'store-unreachable' })
    await using created = await createStore(location, { access: 'write' }, context)
    await created.putIfAbsent('a', Uint8Array.of(1))

    await using opened = await openStore(location, { access: 'read' }, context)
    assert.deepEqual(await opened.get('a'), Uint8Array.of(1))
  })
})

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { isOperationError } from '../../domain/operation-error.ts'
import { systemClock } from '../../platform/system-clock.ts'
import { startConditionalGateway } from '../../../test/support/conditional-gateway.ts'
import { testContext } from '../../../test/support/repository.ts'
import { connectPlainly, makeAddOnlyUser, makeBucket } from '../../../test/support/s3-buckets.ts'
import { startS3Server, type S3Server } from '../../../test/support/s3-server.ts'
import { collect } from '../../../test/support/store-contract.ts'
import { createScratch } from '../../../test/support/scratch.ts'
import type { S3StoreOptions } from './s3-options.ts'
import type { KeptObject } from '../object-store.ts'
import { openS3PastStore } from './s3-past-store.ts'
import { createS3Store, openS3Store, type S3Store } from './s3-store.ts'

const locked = { bucket: 'locked', keyPrefix: 'main/' }
const versioned = { bucket: 'versioned', keyPrefix: 'main/' }
const dayMs = 24 * 60 * 60 * 1000

describe('an S3 store in a bucket with object lock', () => {
  let server: S3Server
  let client: S3Client
  let options: S3StoreOptions
  const owned = new AsyncDisposableStack()
  before(async () => {
    const scratch = owned.use(await createScratch('s3-locked'))
    server = await startS3Server(scratch)
    await makeBucket(server, locked.bucket, 'locked')
    await makeBucket(server, versioned.bucket, 'versioned')
    const { endpoint } = owned.use(await startConditionalGateway(server))
    client = owned.adopt(connectPlainly(server), (used) => used.destroy())
    options = { ...server.options, endpoint, retention: { mode: 'governance', days: 30 } }
  })
  after(async () => owned.disposeAsync())

  const open = (changes: Partial<S3StoreOptions> = {}, place = locked): Promise<S3Store> =>
    openS3Store(place, { ...options, ...changes }, { clock: systemClock })

  const lockOf = async (key: string) => {
    const found = await client.send(new GetObjectCommand({ Bucket: locked.bucket, Key: `main/${key}` }))
    found.Body?.transformToWebStream()
      .cancel()
      .catch(() => undefined)
    return { mode: found.ObjectLockMode, untilMs: found.ObjectLockRetainUntilDate?.getTime() }
  }

  const timeOfFirst = async (key: string): Promise<number> => {
    const command = new ListObjectVersionsCommand({ Bucket: versioned.bucket, Prefix: key })
    const { Versions: versions = [] } = await client.send(command)
    return versions.at(-1)?.LastModified?.getTime() ?? 0
  }

  for (const [mode, checksums] of [
    ['governance', false],
    ['compliance', true],
  ] as const) {
    test(`locks what it stores for the days of its retention: ${mode}, checksums of the SDK: ${checksums}`, async () => {
      await using store = await open({ retention: { mode, days: 7 }, hasChecksums: checksums })
      const startedMs = Date.now()

      assert.equal(await store.putIfAbsent(`kept-${mode}`, Buffer.from('bytes')), 'created')

      const lock = await lockOf(`kept-${mode}`)
      assert.equal(lock.mode, mode.toUpperCase())
      const days = ((lock.untilMs ?? 0) - startedMs) / dayMs
      assert.ok(days > 6.99 && days < 7.01, `${days} days`)
    })
  }

  test('leaves what is short-lived without a lock', async () => {
    await using store = await open()

    await store.putIfAbsent('short', Buffer.from('bytes'), { isShortLived: true })

    assert.deepEqual(await lockOf('short'), { mode: undefined, untilMs: undefined })
  })

  test('locks anew what is there, from now on', async () => {
    await using brief = await open({ retention: { mode: 'governance', days: 1 } })
    await using store = await open()
    await brief.putIfAbsent('root', Buffer.from('bytes'))

    await store.renewRetention(['root'])

    assert.ok(((await lockOf('root')).untilMs ?? 0) > Date.now() + 29 * dayMs)
  })

  test('says when it is made, and at the first object, that a bucket has no object lock', async () => {
    await using store = await open({}, versioned)

    await assert.rejects(createS3Store(versioned, options, testContext()), noLock)
    await assert.rejects(store.putIfAbsent('key', Buffer.from('bytes')), noLock)
  })

  test('deletes in a bucket with versions, and tells that the bucket keeps what was deleted', async () => {
    await using store = await open({ retention: undefined }, versioned)
    await store.putIfAbsent('gone', Buffer.from('bytes'))
    const kept: KeptObject[] = []

    await store.delete(['gone'], { onKept: (object) => kept.push(object) })

    assert.equal(await store.get('gone'), undefined)
    assert.deepEqual(kept, [{ key: 'gone', reason: 'version' }])
    assert.equal(await store.putIfAbsent('gone', Buffer.from('others')), 'created')
    assert.deepEqual(await store.get('gone'), new Uint8Array(Buffer.from('others')))
  })

  test('tells what it may not delete, or fails when nobody wants to know', async () => {
    const keys = await makeAddOnlyUser(server, 'adder', versioned.bucket)
    const readCredentials = () => Promise.resolve(keys)
    await using store = await open({ retention: undefined, readCredentials }, versioned)
    await store.putIfAbsent('stays', Buffer.from('bytes'))
    const kept: KeptObject[] = []

    await store.delete(['stays'], { onKept: (object) => kept.push(object) })

    assert.deepEqual(kept, [{ key: 'stays', reason: 'forbidden' }])
    assert.deepEqual(await store.get('stays'), new Uint8Array(Buffer.from('bytes')))
    await assert.rejects(store.delete(['stays']), (error) => isOperationError(error, 'store-failed'))
  })

  test('is read as it was, whatever was done to it since and how often', async () => {
    await using store = await open({ retention: undefined }, versioned)
    await store.putIfAbsent('past', Buffer.from('first bytes'))
    const many = { Bucket: versioned.bucket, Key: 'main/past' }
    for (let count = 0; count < 45; count++)
      await client.send(new PutObjectCommand({ ...many, Body: 'later' }))
    await store.delete(['past'])
    const asOfMs = await timeOfFirst(many.Key)

    await using past = await openS3PastStore(versioned, { ...options, asOfMs }, testContext())

    assert.deepEqual(await past.get('past'), new Uint8Array(Buffer.from('first bytes')))
    assert.deepEqual(await past.get('past', { offset: 6, length: 5 }), new Uint8Array(Buffer.from('bytes')))
    assert.equal((await past.head('past'))?.sizeBytes, 11)
    assert.equal(await past.get('pas'), undefined)
    assert.deepEqual(
      (await collect(past.list('pa'))).map(({ key }) => key),
      ['past'],
    )
    await assert.rejects(past.putIfAbsent('other', Buffer.from('x')), isUsage)
    await assert.rejects(past.delete(['past']), isUsage)
  })

  test('has no past without versions', async () => {
    const plain = { bucket: server.bucket, keyPrefix: '' }

    await assert.rejects(openS3PastStore(plain, { ...options, asOfMs: Date.now() }, testContext()), isUsage)
  })

  test('tells what protects a bucket, and what it may not know', async () => {
    const stranger = server.makeUser('stranger')
    await using lockedStore = await open()
    await using versionedStore = await open({}, versioned)
    await using plainStore = await open({}, { bucket: server.bucket, keyPrefix: '' })
    await using refused = await open({ readCredentials: () => Promise.resolve(stranger) })

    assert.deepEqual(await lockedStore.protection(), { keepsVersions: true, canLock: true })
    assert.deepEqual(await versionedStore.protection(), { keepsVersions: true, canLock: false })
    assert.deepEqual(await plainStore.protection(), { keepsVersions: false, canLock: false })
    assert.deepEqual(await refused.protection(), { keepsVersions: undefined, canLock: undefined })
  })
})

function noLock(error: unknown): boolean {
  return (
    isOperationError(error, 'store-failed') &&
    /s3\.retention-days is set, and the bucket "versioned" does not lock objects/.test(error.message)
  )
}

function isUsage(error: unknown): boolean {
  return isOperationError(error, 'usage')
}

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, describe, test } from 'node:test'
import {
  DeleteObjectsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { archiveEverything } from './support/archive-everything.ts'
import { startConditionalGateway } from './support/conditional-gateway.ts'
import { expectOk } from './support/holdfast.ts'
import { openServer, startServer, type TestServer } from './support/postgres-server.ts'
import { connectPlainly, makeBucket } from './support/s3-buckets.ts'
import { startS3Server } from './support/s3-server.ts'
import { makeSite, type S3Site } from './support/s3-site.ts'
import { addSecondRepository } from './support/second-repository.ts'
import { createScratch, type Scratch } from './support/scratch.ts'

const bucket = 'versioned'

describe('a repository in a bucket with versions, after somebody deleted all of it (N14)', () => {
  let scratch: Scratch
  let server: TestServer
  let site: S3Site
  let asOf: string
  const owned = new AsyncDisposableStack()
  before(async () => {
    scratch = owned.use(await createScratch('s3-attack'))
    const store = await startS3Server(scratch)
    await makeBucket(store, bucket, 'versioned')
    const { endpoint } = owned.use(await startConditionalGateway(store))
    server = owned.use(await startServer({ major: 18, scratch }))
    const { accessKeyId, secretAccessKey } = store
    site = await makeSite({ scratch, server, bucket: { endpoint, bucket, accessKeyId } }, secretAccessKey)
    expectOk(await site.init('--apply', `--repo=s3:${bucket}/main`))
    await server.restart()
    await server.query('CREATE TABLE t AS SELECT generate_series(1, 1000) AS x')
    expectOk(await site.run('backup'))
    await server.query('INSERT INTO t VALUES (1001)')
    await server.query("SELECT pg_create_restore_point('before')")
    await archiveEverything(server)
    asOf = `--repo-as-of=${new Date(Date.now() + 1000).toISOString()}`
    // What the attacker does comes after that moment, by the clock of the store, which is this machine's.
    await sleep(1100)
    const client = owned.adopt(connectPlainly(store), (used) => used.destroy())
    await deleteEverything(client)
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'main/holdfast', Body: 'pay me' }))
  })
  after(async () => owned.disposeAsync())

  test('says what it finds in the present, and refuses to write into the past', async () => {
    const present = await site.run('info')
    const written = await site.run('backup', asOf)

    assert.equal(present.code, 2)
    assert.match(present.stderr, /it is not a holdfast repository/)
    assert.equal(written.code, 2)
    assert.match(written.stderr, /expected --repo-as-of with a command that only reads, found "backup"/)
  })

  test('lists and restores the past, and proves every byte of it', async () => {
    const { repos } = (await site.answer('info', asOf)) as {
      repos: { backups: { isRestorable: boolean }[]; freshness: { state: string } }[]
    }
    assert.deepEqual(
      repos[0]?.backups.map(({ isRestorable }) => isRestorable),
      [true],
    )
    assert.deepEqual(
      repos.map(({ freshness }) => freshness.state),
      ['past'],
    )

    const verified = expectOk(await site.run('verify', '--all', asOf))
    assert.doesNotMatch(verified.stderr, /warning/)

    const dataDirectory = join(site.folder, 'restored')
    const restoring = ['restore', '--target-name=before', `--target-dir=${dataDirectory}`, asOf]
    const { stderr } = expectOk(await site.run(...restoring))
    assert.doesNotMatch(stderr, /warning/)
    await using restored = await openServer({ dataDirectory, major: 18, scratch })
    assert.deepEqual(await restored.query('SELECT count(*)::int AS count FROM t'), [{ count: 1001 }])
  })

  test('copies the past into another repository, which is whole, and keeps no past itself', async () => {
    const run: S3Site['run'] = (...args) => site.run(...args)
    await addSecondRepository({ folder: site.folder, configuration: site.configFile, server, run }, scratch)

    expectOk(await site.run('repo', 'copy', '--from=local', '--to=second', asOf))

    const { repos } = (await site.answer('info', '--repo=second')) as {
      repos: { backups: { isRestorable: boolean }[] }[]
    }
    assert.deepEqual(
      repos[0]?.backups.map(({ isRestorable }) => isRestorable),
      [true],
    )
    const refused = await site.run('info', '--repo=second', asOf)
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /expected a store of which older versions can be read, found "posix"/)
  })
})

async function deleteEverything(client: S3Client): Promise<void> {
  const { Contents: contents = [], IsTruncated: isTruncated } = await client.send(
    new ListObjectsV2Command({ Bucket: bucket }),
  )
  const Objects = contents.map(({ Key }) => ({ Key }))
  await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } }))
  if (isTruncated === true) await deleteEverything(client)
}

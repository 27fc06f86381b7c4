import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openS3Store } from '../src/storage/s3/s3-store.ts'
import { archiveEverything } from './support/archive-everything.ts'
import { expectOk } from './support/holdfast.ts'
import { openServer, startServer } from './support/postgres-server.ts'
import { testContext } from './support/repository.ts'
import { startS3Server, type S3Server } from './support/s3-server.ts'
import { makeSite } from './support/s3-site.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { collect } from './support/store-contract.ts'
import { waitUntil } from './support/wait.ts'

describe('a repository in S3', () => {
  let scratch: Scratch
  let bucket: S3Server
  before(async () => {
    scratch = await createScratch('s3-life')
    bucket = await startS3Server(scratch)
  })
  after(async () => scratch[Symbol.asyncDispose]())

  test('lives a whole life: init, archive, backups, restore, verify, expire', async () => {
    await using server = await startServer({ major: 18, scratch })
    const site = await makeSite({ scratch, server, bucket }, bucket.secretAccessKey)
    expectOk(await site.init(`--repo=s3:${bucket.bucket}/main`, '--apply'))
    await server.restart()
    await server.query('CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 1000)')

    const full = await site.answer('backup')
    await server.query('INSERT INTO t VALUES (1001)')
    await server.query("SELECT pg_create_restore_point('before')")
    await server.query('DELETE FROM t')
    await site.answer('backup')
    await archiveEverything(server)

    const dataDirectory = join(site.folder, 'restored')
    expectOk(await site.run('restore', '--target-name=before', `--target-dir=${dataDirectory}`))
    await using restored = await openServer({ dataDirectory, major: 18, scratch })
    assert.deepEqual(await restored.query('SELECT count(*)::int AS count FROM t'), [{ count: 1001 }])

    expectOk(await site.run('verify', '--all'))
    expectOk(await site.run('check'))
    const probed = (await site.answer('repo', 'probe')) as { isFit: boolean }
    assert.equal(probed.isFit, true)
    await site.answer('backup', '--type=full')
    await site.answer('expire', '--confirm=main')
    assert.equal(await site.lists(full), false)
    expectOk(await site.run('repo', 'sweep'))
  })

  test('outlasts that the store goes away in the middle of a backup, and comes back (N1, N9, N10)', async () => {
    await using server = await startServer({ major: 18, scratch })
    const site = await makeSite({ scratch, server, bucket }, bucket.secretAccessKey)
    expectOk(await site.init('--apply', `--repo=s3:${bucket.bucket}/outage`))
    await server.restart()
    await server.query('CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 500000) g')

    const backup = site.start('backup')
    const place = { bucket: bucket.bucket, keyPrefix: 'outage/' }
    await using store = await openS3Store(place, bucket.options, testContext())
    await waitUntil('the backup has begun', async () =>
      (await collect(store.list(''))).some(({ key }) => key.includes('/lease/')),
    )
    await bucket.stop()
    for (let segments = 0; segments < 3; segments += 1) {
      await server.query('INSERT INTO t VALUES (0)')
      await server.query('SELECT pg_switch_wal()')
    }
    await waitUntil('a warning', () => /warning: .*it is being tried again/.test(backup.stderr()))
    await bucket.start()

    expectOk(await backup.ended)
    await archiveEverything(server)
    expectOk(await site.run('verify', '--all'))
    const { stdout } = expectOk(await site.run('check'))
    assert.match(stdout, /WAL archive of repo \S+ +without a hole/)
  })

  test('is refused with a wrong secret, and with a bucket that is not there', async () => {
    await using server = await startServer({ major: 18, scratch })
    const wrong = await makeSite({ scratch, server, bucket }, 'wrong-secret-canary')
    const elsewhere = await makeSite({ scratch, server, bucket }, bucket.secretAccessKey)

    const refused = await wrong.init(`--repo=s3:${bucket.bucket}/main`)
    const absent = await elsewhere.init('--repo=s3:not-there')

    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /SignatureDoesNotMatch/)
    assert.doesNotMatch(refused.stderr, /canary/)
    assert.equal(absent.code, 1)
    assert.match(absent.stderr, /expected the bucket "not-there", found none/)
  })
})

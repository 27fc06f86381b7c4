import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { archiveEverything } from './support/archive-everything.ts'
import { GcsEndpoint } from './support/gcs-endpoint/gcs-endpoint.ts'
import { expectOk } from './support/holdfast.ts'
import { openServer, startServer, type TestServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { makeStoreSite, type StoreSite } from './support/store-site.ts'

describe('a repository in Google Cloud Storage, on a stub', () => {
  let scratch: Scratch
  let endpoint: GcsEndpoint
  let server: TestServer
  before(async () => {
    scratch = await createScratch('gcs-life')
    endpoint = await GcsEndpoint.start()
    server = await startServer({ major: 18, scratch })
  })
  after(async () => {
    await server[Symbol.asyncDispose]()
    await endpoint[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  test('lives a whole life: init, archive, backups, restore, verify, expire, and goes on in a bucket that retains everything', async () => {
    const site = await makeSite({ scratch, server, endpoint }, endpoint.credentialsFile)
    expectOk(await site.init('--repo=gcs:bucket/main', '--apply'))
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
    await site.answer('backup', '--type=full')
    await site.answer('expire', '--confirm=main')
    assert.equal(await site.lists(full), false)

    endpoint.retainsEverything = true
    await site.answer('backup', '--type=full')
    const last = await site.answer('backup', '--type=full')
    await site.answer('expire', '--confirm=main')
    assert.equal(await site.lists(last), true)
  })

  test('is refused with a wrong key, with a bucket that is not there and with what is no key, without a secret', async () => {
    const wrongKey = endpoint.credentialsFile.replace('backup@', 'other@')
    const wrong = await makeSite({ scratch, server, endpoint }, wrongKey)
    const elsewhere = await makeSite({ scratch, server, endpoint }, endpoint.credentialsFile)
    const broken = await makeSite({ scratch, server, endpoint }, '{"private_key": "canary"}')

    const refused = await wrong.init('--repo=gcs:bucket/main')
    const absent = await elsewhere.init('--repo=gcs:not-there')
    const unread = await broken.init('--repo=gcs:bucket/main')

    assert.equal(refused.code, 1)
    assert.match(
      refused.stderr,
      /key of the credentials is not valid any more, or never was \(400, invalid_grant\)/,
    )
    assert.doesNotMatch(refused.stderr, /PRIVATE|assertion/)
    assert.equal(absent.code, 1)
    assert.match(absent.stderr, /expected the bucket "not-there", found none/)
    assert.equal(unread.code, 2)
    assert.match(unread.stderr, /reading gcs\.credentials-file of the repo: expected a JSON object/)
    assert.doesNotMatch(unread.stderr, /canary/)
  })
})

interface Surroundings {
  readonly scratch: Scratch
  readonly server: TestServer
  readonly endpoint: GcsEndpoint
}

function makeSite({ scratch, server, endpoint }: Surroundings, credentials: string): Promise<StoreSite> {
  return makeStoreSite(scratch, server, {
    secret: credentials,
    options: (credentialsFile) => [
      `--gcs=endpoint=${endpoint.url}`,
      `--gcs=credentials-file=${credentialsFile}`,
    ],
  })
}

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { archiveEverything } from './support/archive-everything.ts'
import { startAzureServer, type AzureServer } from './support/azure-server.ts'
import { expectOk } from './support/holdfast.ts'
import { openServer, startServer, type TestServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { makeStoreSite, type StoreSite } from './support/store-site.ts'

describe('a repository in Azure', () => {
  let scratch: Scratch
  let store: AzureServer
  let server: TestServer
  before(async () => {
    scratch = await createScratch('azure-life')
    store = await startAzureServer(scratch)
    server = await startServer({ major: 18, scratch })
  })
  after(async () => scratch[Symbol.asyncDispose]())

  test('is refused with a wrong key, and with a container that is not there', async () => {
    const wrong = await makeSite({ scratch, server, store }, Buffer.from('wrong-canary').toString('base64'))
    const elsewhere = await makeSite({ scratch, server, store }, store.accountKey)

    const refused = await wrong.init('--repo=azure:holdfast/main')
    const absent = await elsewhere.init('--repo=azure:not-there')

    assert.equal(refused.code, 1)
    // Azure says AuthenticationFailed.
    assert.match(refused.stderr, /the store does not allow it \(AuthorizationFailure\)/)
    assert.doesNotMatch(refused.stderr, new RegExp(Buffer.from('wrong-canary').toString('base64')))
    assert.equal(absent.code, 1)
    assert.match(absent.stderr, /expected the container "not-there" in account "holdfasttest", found none/)
  })

  test('lives a whole life: init, archive, backups, restore, verify, expire', async () => {
    const site = await makeSite({ scratch, server, store }, store.accountKey)
    expectOk(await site.init('--repo=azure:holdfast/main', '--apply'))
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
  })
})

interface Surroundings {
  readonly scratch: Scratch
  readonly server: TestServer
  readonly store: AzureServer
}

function makeSite({ scratch, server, store }: Surroundings, accountKey: string): Promise<StoreSite> {
  return makeStoreSite(scratch, server, {
    secret: `${accountKey}\n`,
    options: (keyFile) => [
      `--azure=endpoint=${store.endpoint}`,
      `--azure=account=${store.account}`,
      `--azure=key-file=${keyFile}`,
    ],
  })
}

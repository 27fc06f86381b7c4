import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { chown, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { archiveEverything } from './support/archive-everything.ts'
import { startAzureServer, type AzureServer } from './support/azure-server.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { openServer, startServer, type TestServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { isRoot } from './support/server-user.ts'

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
    const { repos } = (await site.answer('info')) as { repos: { backups: { label: string }[] }[] }
    assert.ok(!repos.some(({ backups }) => backups.some(({ label }) => label === labelOf(full))))
  })
})

/** So that expire has something to do, once it is asked. */
const keepRules = {
  HOLDFAST_KEEP_COUNT: '1',
  HOLDFAST_KEEP_MINIMUM: '1',
  HOLDFAST_KEEP_AFTER_BACKUP: 'false',
}

interface Surroundings {
  readonly scratch: Scratch
  readonly server: TestServer
  readonly store: AzureServer
}

/** What a user has: a configuration file, a file with a key of the account, and the command line. */
class AzureSite {
  readonly folder: string
  readonly #surroundings: Surroundings

  constructor(folder: string, surroundings: Surroundings) {
    this.folder = folder
    this.#surroundings = surroundings
  }

  get keyFile(): string {
    return join(this.folder, 'account-key')
  }

  init(...options: readonly string[]): Promise<HoldfastResult> {
    const { server, store } = this.#surroundings
    return this.run(
      'init',
      '--cluster=main',
      `--connection=${server.connectionString}`,
      `--bin-directory=${server.binDirectory}`,
      `--azure=endpoint=${store.endpoint}`,
      `--azure=account=${store.account}`,
      `--azure=key-file=${this.keyFile}`,
      ...options,
    )
  }

  run(...args: readonly string[]): Promise<HoldfastResult> {
    const config = join(this.folder, 'holdfast.yaml')
    return runHoldfast(args, { config, timeoutMs: 300_000, env: keepRules })
  }

  async answer(...args: readonly string[]): Promise<unknown> {
    return JSON.parse(expectOk(await this.run('--output', 'json', ...args)).stdout)
  }
}

async function makeSite(surroundings: Surroundings, accountKey: string): Promise<AzureSite> {
  const { scratch } = surroundings
  const folder = await scratch.makeFolder(`site-${randomUUID().slice(0, 8)}`)
  const site = new AzureSite(folder, surroundings)
  await writeFile(site.keyFile, `${accountKey}\n`, { mode: 0o600 })
  if (isRoot()) await chown(site.keyFile, scratch.user.uid, scratch.user.gid)
  return site
}

function labelOf(answer: unknown): string {
  return (answer as { backup: { label: string } }).backup.label
}

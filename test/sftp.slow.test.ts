import assert from 'node:assert/strict'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { FindDocument } from '../src/api/find-document.ts'
import { archiveEverything } from './support/archive-everything.ts'
import { giveTree } from './support/give-tree.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { openServer, startServer, type TestServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { startSftpServer, type SftpServer } from './support/sftp-server.ts'

describe('a repository on an SFTP server', () => {
  let scratch: Scratch
  let host: SftpServer
  before(async () => {
    scratch = await createScratch('sftp-life')
    host = await startSftpServer(scratch)
  })
  after(async () => scratch[Symbol.asyncDispose]())

  test('lives a whole life: init, archive, backups, find, restore, verify, expire', async () => {
    await using server = await startServer({ major: 18, scratch })
    const site = await makeSite({ scratch, server, host }, host.hostKey.fingerprint)
    expectOk(await site.init('--apply'))
    await server.restart()
    await server.query('CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 1000)')

    const full = await site.answer('backup')
    await server.query('INSERT INTO t VALUES (1001)')
    await server.query("SELECT pg_create_restore_point('before')")
    await server.query('DELETE FROM t')
    await site.answer('backup')
    await server.query('DROP TABLE t')
    await archiveEverything(server)

    const { transactions } = (await site.answer('find', '--kind=drop')) as FindDocument
    assert.deepEqual(
      transactions.flatMap(({ affected }) => affected.map(({ schema, name }) => `${schema}.${name}`)),
      ['public.t'],
    )

    const dataDirectory = join(site.folder, 'restored')
    expectOk(await site.run('restore', '--target-name=before', `--target-dir=${dataDirectory}`))
    await using restored = await openServer({ dataDirectory, major: 18, scratch })
    assert.deepEqual(await restored.query('SELECT count(*)::int AS count FROM t'), [{ count: 1001 }])

    expectOk(await site.run('verify', '--all'))
    expectOk(await site.run('check'))
    await site.answer('backup', '--type=full')
    await site.answer('expire', '--confirm=main')
    const { repos } = (await site.answer('info')) as { repos: { backups: { label: string }[] }[] }
    assert.ok(!repos.some(({ backups }) => backups.some(({ label }) => label === labelOf(full))))
    expectOk(await site.run('repo', 'sweep'))
  })

  test('is refused without a key to expect, with what has to be configured', async () => {
    await using server = await startServer({ major: 18, scratch })
    const site = await makeSite({ scratch, server, host })

    const refused = await site.init()

    assert.equal(refused.code, 2)
    assert.ok(refused.stderr.includes(`set sftp.host-key of the repo to "${host.hostKey.fingerprint}"`))
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
  readonly host: SftpServer
}

/** What a user has: a configuration file, a private key, and the command line. */
class SftpSite {
  readonly folder: string
  readonly #surroundings: Surroundings
  readonly #hostKey: string | undefined

  constructor(folder: string, surroundings: Surroundings, hostKey: string | undefined) {
    this.folder = folder
    this.#surroundings = surroundings
    this.#hostKey = hostKey
  }

  get privateKeyFile(): string {
    return join(this.folder, 'id')
  }

  init(...options: readonly string[]): Promise<HoldfastResult> {
    const { server, host } = this.#surroundings
    const { user, host: address, port, path } = host.locationOf('main')
    return this.run(
      'init',
      '--cluster=main',
      `--connection=${server.connectionString}`,
      `--bin-directory=${server.binDirectory}`,
      `--repo=sftp:${user}@${address}:${port}${path}`,
      `--sftp=private-key-file=${this.privateKeyFile}`,
      ...(this.#hostKey === undefined ? [] : [`--sftp=host-key=${this.#hostKey}`]),
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

async function makeSite(surroundings: Surroundings, hostKey?: string): Promise<SftpSite> {
  const { scratch, server, host } = surroundings
  const folder = await scratch.makeFolder(`site-${server.port}`)
  const site = new SftpSite(folder, surroundings, hostKey)
  await copyFile(host.privateKeyFile, site.privateKeyFile)
  await giveTree(folder, scratch.user)
  return site
}

function labelOf(answer: unknown): string {
  return (answer as { backup: { label: string } }).backup.label
}

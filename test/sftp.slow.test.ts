import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { FindDocument } from '../src/api/find-document.ts'
import { archiveEverything } from './support/archive-everything.ts'
import { expectOk } from './support/holdfast.ts'
import { openServer, startServer, type TestServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { startSftpServer, type SftpServer } from './support/sftp-server.ts'
import { makeStoreSite, type StoreSite } from './support/store-site.ts'

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
    assert.equal(await site.lists(full), false)
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

interface Surroundings {
  readonly scratch: Scratch
  readonly server: TestServer
  readonly host: SftpServer
}

async function makeSite({ scratch, server, host }: Surroundings, hostKey?: string): Promise<StoreSite> {
  const { user, host: address, port, path } = host.locationOf('main')
  return makeStoreSite(scratch, server, {
    secret: await readFile(host.privateKeyFile),
    options: (privateKeyFile) => [
      `--repo=sftp:${user}@${address}:${port}${path}`,
      `--sftp=private-key-file=${privateKeyFile}`,
      ...(hostKey === undefined ? [] : [`--sftp=host-key=${hostKey}`]),
    ],
  })
}

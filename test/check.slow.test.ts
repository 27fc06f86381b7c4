import assert from 'node:assert/strict'
import { chmod, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { CheckDocument, CheckItemListing } from '../src/api/check-document.ts'
import { startServer } from './support/postgres-server.ts'
import { startProtectedCluster, type ProtectedCluster } from './support/protected-cluster.ts'
import { createScratch } from './support/scratch.ts'

describe('check', () => {
  for (const major of [14, 18] as const) {
    test(`of a set-up of PostgreSQL ${major} that works finds nothing wrong and brings a segment back (R3)`, async () => {
      await using scratch = await createScratch('check')
      await using cluster = await startProtectedCluster(scratch, { major, settings: { archive_timeout: 60 } })
      await cluster.takeBackup()

      const { code, document } = await check(cluster)

      assert.deepEqual(named(document, 'failed'), [])
      assert.equal(code, 0)
      assert.equal(document.isHealthy, true)
      assert.match(itemOf(document, 'archiving to repo local').message, /came back intact/)
      assert.match(itemOf(document, 'last backup of repo local').message, /^\d{8}-\d{6}F, /)
      assert.equal(itemOf(document, 'verify of repo local').state, 'info')
      assert.equal(itemOf(document, 'drill of repo local').state, 'info')
    })
  }

  test('says in words what it tried, and that there is no backup yet', async () => {
    await using scratch = await createScratch('check')
    await using cluster = await startProtectedCluster(scratch)

    const { stdout, code } = await cluster.run(['check'])

    assert.equal(code, 0)
    assert.match(stdout, /^ok +connection +PostgreSQL 17/m)
    assert.match(stdout, /^warning +setting archive_timeout/m)
    assert.match(stdout, /^warning +last backup of repo local +there is none\n +hint: Take the first one/m)
    assert.match(stdout, /everything that was tried works, with \d warnings/)
  })

  test('does not believe an archive_command that lies: the segment must come back (M12)', async () => {
    await using scratch = await createScratch('check')
    await using cluster = await startProtectedCluster(scratch, {
      settings: { archive_command: '/bin/true' },
      isArchiving: false,
    })

    const { code, document } = await check(cluster, { options: ['--timeout', '1s'] })

    const item = itemOf(document, 'archiving to repo local')
    assert.equal(item.state, 'failed')
    assert.match(
      item.message,
      /expected 0{7}1\d{16} within 1000 ms, it was not archived; the server archived 0{7}1\w{16} last/,
    )
    assert.equal(itemOf(document, 'setting archive_command').state, 'failed')
    assert.equal(code, 1)
  })

  test('tells what waits when archiving fails', async () => {
    await using scratch = await createScratch('check')
    await using cluster = await startProtectedCluster(scratch, { isArchiving: false })

    const { document } = await check(cluster, { options: ['--timeout', '2s'] })

    assert.match(
      itemOf(document, 'archiving to repo local').message,
      /failures counted: [1-9], the last one of .*; files that wait: 1$/,
    )
  })

  test('finds settings that protect nothing, each by its name (R3)', async () => {
    await using scratch = await createScratch('check')
    const settings = {
      wal_level: 'minimal',
      max_wal_senders: 0,
      archive_mode: 'off',
      full_page_writes: false,
    }
    await using cluster = await startProtectedCluster(scratch, { settings, isArchiving: false })

    const { code, document } = await check(cluster)

    assert.deepEqual(named(document, 'failed'), [
      'setting wal_level',
      'setting archive_mode',
      'setting archive_command',
      'setting full_page_writes',
    ])
    assert.equal(itemOf(document, 'archiving to repo local').state, 'skipped')
    assert.equal(code, 1)
  })

  test('of a server that is down still looks at the repository', async () => {
    await using scratch = await createScratch('check')
    await using cluster = await startProtectedCluster(scratch)
    await cluster.server.stop()

    const { code, document } = await check(cluster)

    assert.deepEqual(named(document, 'failed'), ['connection'])
    assert.equal(itemOf(document, 'key of repo local').state, 'ok')
    assert.equal(code, 1)
  })

  test('of a repository that is gone still looks at the server', async () => {
    await using scratch = await createScratch('check')
    await using cluster = await startProtectedCluster(scratch)
    await rm(cluster.archive.repositoryFolder, { recursive: true })

    const { code, document } = await check(cluster)

    assert.deepEqual(named(document, 'failed'), ['repo local'])
    assert.equal(itemOf(document, 'connection').state, 'ok')
    assert.equal(code, 1)
  })

  test('finds a key that others may read, and says which (I1, 4.2)', async () => {
    await using scratch = await createScratch('check')
    await using cluster = await startProtectedCluster(scratch)
    await chmod(join(cluster.archive.folder, 'key'), 0o644)

    const { document } = await check(cluster)

    assert.match(itemOf(document, 'repo local').message, /key": expected mode 0600 or less, found mode 0644/)
  })

  test('finds that the connection leads to another cluster than the repository holds (I3)', async () => {
    await using scratch = await createScratch('check')
    await using cluster = await startProtectedCluster(scratch)
    await using other = await startServer({
      major: 17,
      scratch,
      settings: { archive_mode: 'on', archive_command: 'false' },
    })

    const { document } = await check(cluster, {
      connection: other.connectionString,
      options: ['--timeout', '1s'],
    })

    assert.match(
      itemOf(document, 'identity of repo local').message,
      /expected system identifier \d+, found \d+/,
    )
  })

  test('names the grants that a role lacks (4.6)', async () => {
    await using scratch = await createScratch('check')
    await using cluster = await startProtectedCluster(scratch)
    await cluster.server.query('create role keeper login in role pg_monitor')
    const connection = cluster.server.connectionString.replace('user=postgres', 'user=keeper')

    const { document } = await check(cluster, { connection })

    const { state, hint } = itemOf(document, 'privileges')
    assert.equal(state, 'failed')
    assert.match(hint ?? '', /GRANT EXECUTE ON FUNCTION pg_catalog\.pg_switch_wal\(\) TO "keeper";/)
    for (const grant of hint?.match(/GRANT [^;]+;/g) ?? []) await cluster.server.query(grant)
    const second = await check(cluster, { connection })
    assert.deepEqual(named(second.document, 'failed'), [])
  })
})

interface Checked {
  readonly code: number | null
  readonly document: CheckDocument
}

async function check(
  cluster: ProtectedCluster,
  { connection, options = [] }: { readonly connection?: string; readonly options?: readonly string[] } = {},
): Promise<Checked> {
  const env = {
    // What "init" writes when root runs it: whom to become does not hang on the server's socket.
    HOLDFAST_CLUSTERS_MAIN_RUN_AS: cluster.scratch.user.name,
    ...(connection === undefined ? {} : { HOLDFAST_CLUSTERS_MAIN_CONNECTION: connection }),
  }
  const { code, stdout } = await cluster.run(['--output', 'json', 'check', ...options], env)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the tests look at
  return { code, document: JSON.parse(stdout) as CheckDocument }
}

function named({ items }: CheckDocument, wanted: CheckItemListing['state']): readonly string[] {
  return items.filter(({ state }) => state === wanted).map(({ name }) => name)
}

function itemOf({ items }: CheckDocument, name: string): CheckItemListing {
  return (
    items.find((item) => item.name === name) ??
    assert.fail(`no item ${name}: ${JSON.stringify(items, null, 1)}`)
  )
}

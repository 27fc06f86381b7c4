import assert from 'node:assert/strict'
import { cp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { fullCheck } from './support/full-check.ts'
import { expectOk, type HoldfastResult } from './support/holdfast.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger, type Ledger } from './support/ledger.ts'
import { openServer, type TestServer } from './support/postgres-server.ts'
import { startProtectedCluster, type ProtectedCluster } from './support/protected-cluster.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { waitUntil } from './support/wait.ts'

describe('restore with something wrong', () => {
  test('names a missing segment, writes nothing, and reaches what is before it (R36, M5)', async () => {
    await using site = await startSite()
    const { ledger, cluster } = site
    await cluster.takeBackup()
    await ledger.advance(10)
    const mark = await ledger.marker()
    await ledger.advance(5)
    const missing = await site.switchWal()
    const lost = await site.switchWal()
    await ledger.advance(5)
    await site.switchWal()
    const key = (await cluster.keys('wal')).find((found) => found.includes(lost))
    await rm(join(cluster.archive.repositoryFolder, key ?? ''))

    const refused = await site.restore([])

    assert.equal(refused.code, 3, refused.stderr)
    assert.match(
      refused.stderr,
      new RegExp(`WAL segment ${lost} is not in the archive, while later ones are`),
    )
    assert.notEqual(missing, lost)
    await assert.rejects(stat(site.target), { code: 'ENOENT' })
    expectOk(await site.restore(['--target-lsn', mark.lsn, '--target-exclusive']))
    await using restored = await site.open()
    await fullCheck(restored, { expected: ledger.expected(mark), exact: true })
  })

  test('refuses a backup whose pack is missing, and stops at one that is damaged (X2)', async () => {
    await using site = await startSite()
    const { cluster } = site
    await cluster.takeBackup()
    await site.switchWal()
    const [key = ''] = await cluster.keys('data')
    const pack = join(cluster.archive.repositoryFolder, key)
    await rename(pack, join(cluster.archive.folder, 'aside'))

    const missing = await site.restore([])

    assert.equal(missing.code, 4, missing.stderr)
    assert.match(missing.stderr, /pack .* is missing/)
    await assert.rejects(stat(site.target), { code: 'ENOENT' })
    await rename(join(cluster.archive.folder, 'aside'), pack)
    const bytes = await readFile(pack)
    await writeFile(pack, bytes.with(5000, 1 ^ (bytes[5000] ?? 0)))
    const damaged = await site.restore([])
    assert.equal(damaged.code, 4, damaged.stderr)
    assert.match(damaged.stderr, /restoring backup .*its seal does not match.* it holds "/)
    assert.ok(!(await readdir(join(site.target, 'global'))).includes('pg_control'))
    await writeFile(pack, bytes)
    expectOk(await site.restore([]))
  })

  test('follows a source that raised its limits after the backup (M17)', async () => {
    await using site = await startSite({ max_connections: 30 })
    const { cluster, ledger } = site
    await cluster.takeBackup()
    await ledger.pause()
    await cluster.server.restart({ max_connections: 60, max_prepared_transactions: 7 })
    ledger.resume()
    await ledger.advance(10)
    const mark = await ledger.marker()
    await ledger.advance(5)
    await site.switchWal()

    expectOk(await site.restore(['--target-lsn', mark.lsn, '--target-exclusive']))

    await using restored = await site.open()
    await fullCheck(restored, { expected: ledger.expected(mark), exact: true })
  })

  test('restores without configuration files, as Debian keeps them elsewhere', async () => {
    await using site = await startSite()
    const { cluster, ledger, scratch } = site
    const { server } = cluster
    await ledger.stop()
    const elsewhere = await scratch.makeFolder('etc')
    await server.stop()
    for (const name of ['postgresql.conf', 'pg_hba.conf']) {
      await rename(join(server.dataDirectory, name), join(elsewhere, name))
    }
    const settings = {
      config_file: join(elsewhere, 'postgresql.conf'),
      hba_file: join(elsewhere, 'pg_hba.conf'),
    }
    await using again = await openServer({
      dataDirectory: server.dataDirectory,
      major: 17,
      scratch,
      settings,
    })
    const env = { PGHOST: again.socketDirectory, PGPORT: String(again.port) }
    const text = await readFile(cluster.archive.configFile, 'utf8')
    await writeFile(cluster.archive.configFile, text.replaceAll(`port=${server.port}`, `port=${again.port}`))
    expectOk(await cluster.run(['backup'], env))
    await again.query('select pg_switch_wal()')

    const result = expectOk(await site.restore([]))

    assert.match(result.stderr, /postgresql\.conf or pg_hba\.conf is not part of the backup/)
    for (const name of ['postgresql.conf', 'pg_hba.conf'])
      await cp(join(elsewhere, name), join(site.target, name))
    await using restored = await site.open()
    await fullCheck(restored, { expected: ledger.expected(), exact: true })
  })

  test('restores a restored cluster to another kind of target (R44)', async () => {
    await using site = await startSite()
    const { cluster, ledger } = site
    await cluster.takeBackup()
    await ledger.advance(5)
    const mark = await ledger.marker({ restorePoint: 'here' })
    await ledger.advance(5)
    await site.switchWal()
    const paused = ['--target-time', mark.time, '--target-action', 'pause']
    const result = expectOk(await site.restore(['--output', 'json', ...paused]))
    assert.match(result.stdout, /"promoted": false/)
    const conf = join(site.target, 'postgresql.conf')
    await writeFile(conf, `${await readFile(conf, 'utf8')}\nrecovery_target_name = 'elsewhere'\n`)
    await using waiting = await site.open({ recovery_target_name: '' }).catch(() => undefined)
    await waiting?.stop()

    expectOk(await site.restore(['--delta', '--confirm', 'main', '--target-name', 'here']))

    await using restored = await site.open()
    await fullCheck(restored, { expected: ledger.expected(mark), exact: true })
    const settings = await readFile(join(site.target, 'postgresql.auto.conf'), 'utf8')
    assert.doesNotMatch(settings, /recovery_target|restore_command/)
  })

  test('stays paused at the target with --target-action pause, until the operator promotes (R43)', async () => {
    await using site = await startSite()
    const { cluster, ledger } = site
    await cluster.takeBackup()
    await ledger.advance(5)
    const mark = await ledger.marker()
    await ledger.advance(5)
    await site.switchWal()

    const options = ['--target-lsn', mark.lsn, '--target-exclusive', '--target-action', 'pause']
    expectOk(await site.restore(options))

    await using restored = await site.open()
    await waitUntil('the pause', async () => {
      const [row] = await restored.query<{ state: string }>('select pg_get_wal_replay_pause_state() as state')
      return row?.state === 'paused'
    })
    await restored.query('select pg_promote()')
    await fullCheck(restored, { expected: ledger.expected(mark), exact: true })
  })
})

interface Site extends AsyncDisposable {
  readonly cluster: ProtectedCluster
  readonly scratch: Scratch
  readonly ledger: Ledger
  readonly target: string
  restore(options: readonly string[]): Promise<HoldfastResult>
  open(settings?: Readonly<Record<string, string>>): Promise<TestServer>
  /** Ends the segment and gives its name when it is archived. */
  switchWal(): Promise<string>
}

async function startSite(settings: Readonly<Record<string, number>> = {}): Promise<Site> {
  await using opened = new AsyncDisposableStack()
  const scratch = opened.use(await createScratch('faults'))
  const cluster = opened.use(await startProtectedCluster(scratch, { major: 17, settings }))
  const { server } = cluster
  await prepareLedger(server)
  const ledger = opened.use(await startLedger(server))
  await ledger.advance(10)
  const target = join(scratch.folder, 'restored')
  const env = { PATH: `${server.binDirectory}:${dirname(process.execPath)}:/usr/bin:/bin` }
  const owned = opened.move()
  return {
    cluster,
    scratch,
    ledger,
    target,
    restore: (options) => cluster.run(['restore', '--target-dir', target, ...options], env),
    open: (overrides = {}) => openServer({ dataDirectory: target, major: 17, scratch, settings: overrides }),
    switchWal: async () => {
      await server.query(`select pg_logical_emit_message(false, 'end', '')`)
      const [row] = await server.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name')
      const name = row?.name ?? ''
      await waitUntil(`${name} in the archive`, async () =>
        (await cluster.keys('wal')).some((key) => key.includes(name)),
      )
      return name
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

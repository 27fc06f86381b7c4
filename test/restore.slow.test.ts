import assert from 'node:assert/strict'
import { readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { everydayMajors } from './support/everyday.ts'
import { fullCheck } from './support/full-check.ts'
import { giveTree } from './support/give-tree.ts'
import { expectOk, type HoldfastResult } from './support/holdfast.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger, type Ledger } from './support/ledger.ts'
import { openServer, type TestServer } from './support/postgres-server.ts'
import { startProtectedCluster, type ProtectedCluster } from './support/protected-cluster.ts'
import { createScratch, type Scratch } from './support/scratch.ts'

describe('restore', () => {
  for (const major of everydayMajors) {
    test(`recovers PostgreSQL ${major} to each kind of target, in places with hostile names (R35, R41)`, async () => {
      await using site = await startSite(major)
      const { ledger, cluster } = site
      await cluster.takeBackup()
      await ledger.advance(40)
      const mark = await ledger.marker({ restorePoint: `it's 100%`, xid: true })
      await ledger.advance(40)
      await site.finish()

      for (const target of [
        ['--target-lsn', mark.lsn, '--target-exclusive'],
        ['--target-time', mark.time],
        ['--target-xid', String(mark.xid)],
        ['--target-name', `it's 100%`],
      ]) {
        const result = expectOk(await site.restore(['--output', 'json', ...target]))
        assert.match(result.stdout, /"promoted": true/)
        await using restored = await site.open()
        await fullCheck(restored, { expected: ledger.expected(mark), exact: true })
        assert.equal(
          (await restored.query<{ mode: string }>(`select current_setting('archive_mode') as mode`))[0]?.mode,
          'off',
        )
        await site.next()
      }
      expectOk(await site.restore([]))
      await using latest = await site.open()
      await fullCheck(latest, { expected: ledger.expected(), exact: true })
    })
  }

  test('leaves recovery to the operator with --files-only (R44, R45)', async () => {
    await using site = await startSite(17)
    const { ledger, cluster } = site
    await cluster.server.query(`alter system set work_mem = '7MB'`)
    await cluster.takeBackup()
    const mark = await ledger.marker()
    await ledger.advance(20)
    await site.finish()

    expectOk(await site.restore(['--files-only', '--target-lsn', mark.lsn, '--target-exclusive']))

    const files = await readdir(site.target)
    assert.ok(files.includes('recovery.signal') && files.includes('backup_label'))
    assert.ok(!files.includes('holdfast-restore-in-progress'))
    await using restored = await site.open()
    await waitForEnd(restored)
    await fullCheck(restored, { expected: ledger.expected(mark), exact: true })
    const [row] = await restored.query<{ memory: string }>(`select current_setting('work_mem') as memory`)
    assert.equal(row?.memory, '7MB')
  })

  test('brings a copy back with --delta by content, and only with its name (R48)', async () => {
    await using site = await startSite(18)
    const { ledger, cluster } = site
    await cluster.takeBackup()
    await site.finish()
    expectOk(await site.restore([]))
    await using copy = await site.open()
    await copy.query('create table later as select * from generate_series(1, 10000)')
    await copy.query('update accounts set balance = balance')
    await copy.stop()
    await writeFile(join(site.target, 'base', 'stray'), 'x')

    assert.equal((await site.restore([])).code, 5)
    assert.equal((await site.restore(['--delta'])).code, 5)
    assert.equal((await stat(join(site.target, 'base', 'stray'))).size, 1)
    const result = expectOk(await site.restore(['--output', 'json', '--delta', '--confirm', 'main']))

    const { comparedBytes, writtenBytes } = JSON.parse(result.stdout) as Record<string, number>
    assert.ok(comparedBytes !== undefined && writtenBytes !== undefined && writtenBytes * 3 < comparedBytes)
    await using restored = await site.open()
    await fullCheck(restored, { expected: ledger.expected(), exact: true })
    await assert.rejects(stat(join(site.target, 'base', 'stray')), { code: 'ENOENT' })
  })

  test('moves tablespaces and never touches the ones of the primary (R14)', async () => {
    await using site = await startSite(16)
    const { ledger, cluster, scratch } = site
    const place = await scratch.makeFolder('live space')
    await cluster.server.query(`create tablespace side location '${place}'`)
    await cluster.server.query(
      'create table far tablespace side as select * from generate_series(1, 5000) as id',
    )
    await cluster.takeBackup()
    await site.finish()

    const refused = await site.restore([])
    assert.equal(refused.code, 5, refused.stderr)
    assert.match(refused.stderr, /--tablespace-map side=DIR/)
    assert.equal(await exists(site.target), false)
    const moved = join(dirname(site.target), 'moved "space"\n%')
    expectOk(await site.restore(['--tablespace-map', `side=${moved}`]))

    await using restored = await site.open()
    await fullCheck(restored, { expected: ledger.expected(), exact: true })
    assert.equal((await restored.query<{ count: string }>('select count(*) from far'))[0]?.count, '5000')
  })

  test('refuses what could destroy something, with its exit code, and changes nothing (R59)', async () => {
    await using site = await startSite(17)
    const { cluster, scratch, ledger } = site
    await ledger.stop()
    await cluster.takeBackup()
    await site.finish()
    const outside = await scratch.makeFolder('outside')
    await symlink(outside, join(scratch.folder, 'link'))
    const filled = await scratch.makeFolder('filled')
    await writeFile(join(filled, 'mine'), 'keep me')
    await giveTree(scratch.folder, scratch.user)
    const live = cluster.server.dataDirectory

    const cases: readonly (readonly [string, RegExp])[] = [
      [live, /a server runs there/],
      [filled, /not empty/],
      ['/', /root directory/],
      [cluster.archive.repositoryFolder, /overlaps with the repository/],
      [join(cluster.archive.repositoryFolder, 'inside'), /overlaps with the repository/],
      [join(scratch.folder, 'link', 'x'), /symbolic link/],
    ]
    for (const [directory, message] of cases) {
      const result = await site.restore(['--target-dir', directory])
      assert.equal(result.code, 5, `${directory}: ${result.stderr}`)
      assert.match(result.stderr, message)
      assert.match(result.stderr, /^hint: /m)
    }
    assert.equal(await readFile(join(filled, 'mine'), 'utf8'), 'keep me')
    assert.equal((await site.restore(['--delta', '--target-dir', live, '--confirm', 'main'])).code, 5)
    assert.equal((await cluster.server.query('select 1')).length, 1)
  })

  test('refuses targets that cannot be reached before it writes anything (R36, R42)', async () => {
    await using site = await startSite(15)
    const { ledger, cluster } = site
    const early = await ledger.marker({ xid: true })
    await ledger.advance(10)
    await cluster.takeBackup()
    await ledger.advance(10)
    await site.finish()

    const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
      [['--target-time', '2001-01-01T00:00:00Z'], 3, /first moment that can be reached/],
      [['--target-time', '2199-01-01T00:00:00Z'], 3, /holds no commit after/],
      [['--target-lsn', 'FFFF/0'], 3, /archived WAL ends at/],
      [['--target-lsn', early.lsn], 3, /first moment/],
      [['--target-xid', String(early.xid)], 3, /transaction/],
      [['--target-xid', '4000000000'], 3, /not in the archived WAL/],
      [['--target-name', 'nowhere'], 3, /not in the archived WAL/],
      [['--backup', '20010101-000000F'], 3, /no such backup/],
      [['--target-timeline', '7'], 3, /00000007\.history/],
      [['--target-time', '2026-01-01 00:00:00'], 2, /zone/],
      [['--target-time', 'now'], 2, /not a date/],
      [['--target-xid', '0/3000000'], 2, /--target-lsn/],
      [['--target-lsn', '0/1', '--target-immediate'], 2, /more than one/],
    ]
    for (const [options, code, message] of cases) {
      const result = await site.restore(options)
      assert.equal(result.code, code, `${options.join(' ')}: ${result.stderr}`)
      assert.match(result.stderr, message)
      assert.equal(await exists(site.target), false)
    }
  })

  test('prints its plan with --dry-run and changes nothing', async () => {
    await using site = await startSite(17)
    const { backup } = await site.cluster.takeBackup()
    await site.finish()

    const text = expectOk(await site.restore(['--dry-run'])).stdout
    const json = expectOk(await site.restore(['--dry-run', '--output', 'json'])).stdout

    assert.match(text, new RegExp(`backup +${backup.label}`))
    const plan = JSON.parse(json) as { backup: string; dryRun: boolean; stop: Record<string, string> }
    assert.equal(plan.backup, backup.label)
    assert.equal(plan.dryRun, true)
    assert.match(plan.stop['recovery_target_lsn'] ?? '', /^[0-9A-F]+\/[0-9A-F]+$/)
    assert.equal(await exists(site.target), false)
  })
})

interface Site extends AsyncDisposable {
  readonly cluster: ProtectedCluster
  readonly scratch: Scratch
  readonly ledger: Ledger
  /** Of the restore that comes next, or came last. */
  readonly target: string
  restore(options: readonly string[]): Promise<HoldfastResult>
  open(): Promise<TestServer>
  /** A fresh target. */
  next(): Promise<void>
  /** Stops the load and gets everything into the archive. */
  finish(): Promise<void>
}

async function startSite(major: 14 | 15 | 16 | 17 | 18): Promise<Site> {
  await using opened = new AsyncDisposableStack()
  const scratch = opened.use(await createScratch('restore'))
  const cluster = opened.use(await startProtectedCluster(scratch, { major }))
  await prepareLedger(cluster.server)
  const ledger = opened.use(await startLedger(cluster.server))
  await ledger.advance(20)
  const { binDirectory } = cluster.server
  let attempt = 1
  const target = (): string => join(scratch.folder, `it's "a" 100% targét ${attempt}`)
  const owned = opened.move()
  return {
    cluster,
    scratch,
    ledger,
    get target() {
      return target()
    },
    restore: (options) => {
      const own = options.includes('--target-dir') ? [] : ['--target-dir', target()]
      const env = { PATH: `${binDirectory}:${dirname(process.execPath)}:/usr/bin:/bin` }
      return cluster.run(['restore', ...own, ...options], env)
    },
    open: () => openServer({ dataDirectory: target(), major, scratch }),
    next: () => {
      attempt += 1
      return Promise.resolve()
    },
    finish: async () => {
      await ledger.stop()
      // A switch at the very start of a segment would do nothing.
      await cluster.server.query(`select pg_logical_emit_message(false, 'end', '')`)
      const [row] = await cluster.server.query<{ name: string }>(
        'select pg_walfile_name(pg_switch_wal()) as name',
      )
      await untilArchived(cluster.server, row?.name ?? '')
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function untilArchived(server: TestServer, name: string): Promise<void> {
  for (let turn = 0; turn < 300; turn += 1) {
    const [row] = await server.query<{ last: string | null }>(
      'select last_archived_wal as last from pg_stat_archiver',
    )
    if ((row?.last ?? '') >= name) return
    await pause(100)
  }
  assert.fail(`${name} was not archived`)
}

async function waitForEnd(server: TestServer): Promise<void> {
  for (let turn = 0; turn < 300; turn += 1) {
    const [row] = await server.query<{ over: boolean }>('select not pg_is_in_recovery() as over')
    if (row?.over === true) return
    await pause(100)
  }
  assert.fail('recovery did not end')
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

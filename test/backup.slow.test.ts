import assert from 'node:assert/strict'
import { chmod, open, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { everydayMajors } from './support/everyday.ts'
import { fullCheck } from './support/full-check.ts'
import type { HoldfastResult } from './support/holdfast.ts'
import { expectOk } from './support/holdfast.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { startServer, type TestServer } from './support/postgres-server.ts'
import { startProtectedCluster, type ProtectedCluster } from './support/protected-cluster.ts'
import { createScratch } from './support/scratch.ts'
import { waitUntil } from './support/wait.ts'

describe('backup', () => {
  for (const major of everydayMajors) {
    test(`of PostgreSQL ${major} under load gives a cluster that recovers to every commit (R1, R4, R18)`, async () => {
      await using scratch = await createScratch('backup')
      await using cluster = await startProtectedCluster(scratch, { major })
      await prepareLedger(cluster.server)
      await using ledger = await startLedger(cluster.server)
      await ledger.advance(100)

      const { backup } = await cluster.takeBackup()

      await ledger.advance(100)
      await ledger.stop()
      await using recovered = await cluster.recover(backup.label)
      await fullCheck(recovered, { expected: ledger.expected(), exact: true })
    })
  }

  test('takes files that grow, shrink and vanish (R7, R8)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)
    const { server } = cluster
    await prepareLedger(server)
    await using ledger = await startLedger(server)
    const churning = new AbortController()
    const churn = Promise.all([1, 2].map((number) => churnTables(server, `churn_${number}`, churning.signal)))
    await ledger.advance(50)

    const { backup } = await cluster.takeBackup('--max-rate', '15MB')

    churning.abort()
    await churn
    await ledger.stop()
    await using recovered = await cluster.recover(backup.label)
    await fullCheck(recovered, { expected: ledger.expected(), exact: true })
  })

  test('takes tablespaces, large files, and no content of pg_wal or unlogged tables (R10, R11, R14)', async () => {
    await using scratch = await createScratch('backup')
    // Recovery refuses them without: it is for developers only, but a backup must not lose them.
    const settings = { allow_in_place_tablespaces: true }
    const initdbOptions = [`--waldir=${await scratch.makeFolder('wal elsewhere')}`]
    await using cluster = await startProtectedCluster(scratch, { initdbOptions, settings })
    const { server } = cluster
    const space = await scratch.makeFolder('table space')
    await server.query(`create tablespace "more space" location '${space}'`)
    await using session = await server.session()
    await session.query("create tablespace in_place location ''")
    await session.query(
      'create table far tablespace "more space" as select * from generate_series(1, 600000) as id',
    )
    await session.query(
      'create table near tablespace in_place as select * from generate_series(1, 1000) as id',
    )
    await session.query('create unlogged table fleeting as select * from generate_series(1, 300000) as id')
    await session.query('checkpoint')

    const { backup } = await cluster.takeBackup()

    await using recovered = await cluster.recover(backup.label)
    await fullCheck(recovered)
    const [sums] = await recovered.query(
      `select (select sum(id) from far)::text as far, (select sum(id) from near)::text as near,
              (select count(*) from fleeting)::text as fleeting`,
    )
    assert.deepEqual(sums, { far: '180000300000', near: '500500', fleeting: '0' })
    assert.ok(
      backup.restoredBytes < 60_000_000,
      `${backup.restoredBytes} bytes: WAL or unlogged tables are in it`,
    )
  })

  test('is listed with its positions, times and sizes', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)

    const { backup, repo, damagedFiles } = await cluster.takeBackup()

    const [listed, ...others] = await cluster.listed()
    assert.equal(others.length, 0)
    assert.equal(listed?.label, backup.label)
    assert.match(backup.label, /^\d{8}-\d{6}F$/)
    assert.match(backup.startedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    assert.match(backup.stopLsn, /^[0-9A-F]+\/[0-9A-F]+$/)
    assert.ok(backup.storedBytes > 0 && backup.storedBytes < backup.restoredBytes)
    assert.equal(repo, 'local')
    assert.deepEqual(damagedFiles, [])
  })

  test('with --dry-run says what it would take and takes nothing', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)

    const result = expectOk(await cluster.run(['backup', '--dry-run']))

    assert.match(result.stdout, /would take a full backup of cluster "main" \(PostgreSQL 17/)
    assert.match(result.stdout, /free/)
    assert.deepEqual(await cluster.listed(), [])
  })

  test('refuses to audit a full backup', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)

    const result = await cluster.run(['backup', '--type', 'full', '--audit'])

    expectFailure(result, 2, /found "--audit" with "--type full"/)
  })

  test('that cannot get its WAL names the segment, lists nothing, and the next one works (R18)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch, { isArchiving: false })

    const result = await cluster.run(['backup'], { HOLDFAST_BACKUP_ARCHIVE_TIMEOUT: '2s' })

    expectFailure(result, 1, /waiting for WAL .* expected 0000000100000000[0-9A-F]{8} within 2000 ms/)
    assert.deepEqual(await cluster.listed(), [])
    assert.deepEqual(await cluster.keys('data'), [])
    await cluster.server.reload({ archive_command: cluster.archiveCommand })
    const { backup } = await cluster.takeBackup()
    assert.deepEqual(labels(await cluster.listed()), [backup.label])
  })

  test('that is killed lists nothing and stands in nobody’s way (R65)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)
    for (const afterMs of [300, 600, 900, 1200, 1500, 2000]) {
      const running = cluster.start(['backup', '--max-rate', '20MB'])
      await sleep(afterMs)
      running.kill('SIGKILL')
      const { signal, code } = await running.ended
      assert.ok(signal === 'SIGKILL' || code === 0)
      assert.equal((await cluster.listed()).length, code === 0 ? 1 : 0, `killed after ${afterMs} ms`)
    }

    const { backup } = await cluster.takeBackup()

    await using recovered = await cluster.recover(backup.label)
    await fullCheck(recovered)
  })

  test('that is asked to stop lists nothing and cleans up', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)
    const running = cluster.start(['backup', '--max-rate', '4MB'])
    await waitForCopying(cluster)

    running.kill('SIGTERM')

    expectFailure(await running.ended, 1, /stopped by SIGTERM/)
    assert.deepEqual(await cluster.listed(), [])
    assert.deepEqual(await cluster.keys('data'), [])
    const [row] = await cluster.server.query<{ count: string }>(
      "select count(*) from pg_stat_activity where application_name = 'holdfast'",
    )
    assert.equal(row?.count, '0')
  })

  test('whose session is ended by an administrator says so and lists nothing (R1)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)
    const running = cluster.start(['backup', '--max-rate', '4MB'])
    await waitForCopying(cluster)

    await cluster.server.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'holdfast' and query ~ 'from pg_catalog.pg_control_checkpoint'",
    )

    expectFailure(await running.ended, 1, /the backup session ended before the backup/)
    assert.deepEqual(await cluster.listed(), [])
  })

  test('is refused while another one of the cluster runs (R3)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)
    const running = cluster.start(['backup', '--max-rate', '6MB'])
    await waitForCopying(cluster)

    const second = await cluster.run(['backup'])

    expectFailure(second, 1, /"backup of cluster "main" by .* runs on host .* as process \d+/)
    expectOk(await running.ended)
    assert.equal((await cluster.listed()).length, 1)
  })

  test('fails on a file that it cannot read, and names it (R7)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)
    const { server } = cluster
    const path = await tableFile(server, 'create table locked as select generate_series(1, 1000)', 'locked')
    await chmod(path, 0)

    const result = await cluster.run(['backup'])

    expectFailure(result, 1, new RegExp(`${path}.*cannot be opened`))
    assert.deepEqual(await cluster.listed(), [])
    await chmod(path, 0o600)
  })

  test('finds damaged pages, says which, and exits with 4 (R13)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)
    const { server } = cluster
    const path = await tableFile(
      server,
      'create table damaged as select generate_series(1, 10000)',
      'damaged',
    )
    await flipByte(path, 3 * 8192 + 5000)

    const result = await cluster.run(['backup'])

    assert.equal(result.code, 4, result.stderr)
    assert.match(result.stdout, /complete with page errors/)
    assert.match(result.stdout, new RegExp(`${path.slice(path.indexOf('base/'))}: block 3\n`))
    assert.deepEqual(
      (await cluster.listed()).map(({ damagedPageCount }) => damagedPageCount),
      [1],
    )
  })

  test('refuses a server that does not archive, naming the setting (R3)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch, { settings: { archive_mode: 'off' } })

    expectFailure(await cluster.run(['backup']), 2, /"archive_mode" to be "on", found "off"/)
  })

  test('refuses a server whose WAL says too little, naming the setting (R3)', async () => {
    await using scratch = await createScratch('backup')
    const settings = { archive_mode: 'off', wal_level: 'minimal', max_wal_senders: 0 }
    await using cluster = await startProtectedCluster(scratch, { settings })

    expectFailure(await cluster.run(['backup']), 2, /"wal_level".*found "minimal"/)
  })

  test('refuses a connection or a data directory of another cluster (R3, I3)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)
    const settings = { archive_mode: 'on', archive_command: 'false' }
    await using other = await startServer({ major: 17, scratch, settings })

    const connection = { HOLDFAST_CLUSTERS_MAIN_CONNECTION: other.connectionString }
    expectFailure(await cluster.run(['backup'], connection), 5, /expected system identifier \d+, found \d+/)
    const directory = { HOLDFAST_CLUSTERS_MAIN_DATA_DIRECTORY: other.dataDirectory }
    expectFailure(await cluster.run(['backup'], directory), 5, /as the server says, found \d+/)

    assert.deepEqual(await cluster.listed(), [])
  })

  test('refuses links in the data directory until it is told what to do with them (R15)', async () => {
    await using scratch = await createScratch('backup')
    await using cluster = await startProtectedCluster(scratch)
    const elsewhere = join(await scratch.makeFolder('elsewhere'), 'extra.conf')
    await writeFile(elsewhere, '# settings\n', { mode: 0o644 })
    await symlink(elsewhere, join(cluster.server.dataDirectory, 'extra.conf'))

    expectFailure(await cluster.run(['backup']), 5, /extra\.conf": it is a symbolic link/)

    for (const links of ['follow', 'as-link']) {
      expectOk(await cluster.run(['backup'], { HOLDFAST_CLUSTERS_MAIN_LINKS: links }))
    }
    assert.equal((await cluster.listed()).length, 2)
  })
})

function labels(backups: readonly { readonly label: string }[]): readonly string[] {
  return backups.map(({ label }) => label)
}

function expectFailure({ code, stderr }: HoldfastResult, wanted: number, message: RegExp): void {
  assert.match(stderr, message)
  assert.match(stderr, /^hint: \S/m)
  assert.equal(code, wanted, stderr)
}

/** The session of the backup is there and the first pack is being built. */
async function waitForCopying({ server }: ProtectedCluster): Promise<void> {
  await waitUntil('the backup to be under way', async () => {
    const [row] = await server.query<{ count: string }>(
      "select count(*) from pg_stat_activity where application_name = 'holdfast' and query ~ 'from pg_catalog.pg_control_checkpoint'",
    )
    return row?.count === '1'
  })
  await sleep(300)
}

async function churnTables(server: TestServer, name: string, signal: AbortSignal): Promise<void> {
  await using session = await server.session()
  while (!signal.aborted) {
    await session.query(
      `create table ${name} as select id, repeat('x', 500) as filling from generate_series(1, 2000) id`,
    )
    await session.query(`create index on ${name} (id)`)
    await session.query(`delete from ${name} where id > 50`)
    await session.query(`vacuum ${name}`)
    await session.query(`truncate ${name}`)
    await session.query(`insert into ${name} select 1, 'y'`)
    await session.query(`drop table ${name}`)
  }
}

/** Creates a table and gives the path of its file, with everything written to it. */
async function tableFile(server: TestServer, create: string, name: string): Promise<string> {
  await server.query(create)
  await server.query('checkpoint')
  const [row] = await server.query<{ path: string }>('select pg_relation_filepath($1) as path', [name])
  return join(server.dataDirectory, row?.path ?? assert.fail())
}

async function flipByte(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, offset)
  await file.write(Buffer.from([(byte[0] ?? 0) ^ 0xff]), 0, 1, offset)
}

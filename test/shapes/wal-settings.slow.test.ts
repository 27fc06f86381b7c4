import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fullCheck } from '../support/full-check.ts'
import { prepareLedger } from '../support/ledger-schema.ts'
import { startLedger } from '../support/ledger.ts'
import type { TestServer } from '../support/postgres-server.ts'
import { startProtectedCluster } from '../support/protected-cluster.ts'
import { createScratch } from '../support/scratch.ts'
import { startUserSite } from '../support/user-site.ts'
import { waitUntil } from '../support/wait.ts'

describe('a backup during which a setting of the WAL changes', () => {
  test('has full pages in its WAL also when full_page_writes is turned off, and restores (W5)', async () => {
    await using scratch = await createScratch('fpw')
    await using site = await startUserSite({ major: 17, scratch })
    const { server } = site
    await prepareLedger(server)
    await server.query('create extension pg_walinspect')
    await using ledger = await startLedger(server, { ratePerSecond: 100 })
    await ledger.advance(20)
    const backup = site.backup('--max-rate', '12MB')
    await waitUntil('the copying', () => isCopying(server))

    await server.reload({ full_page_writes: 'off' })
    await ledger.pause()
    const fullPagesMeanwhile = await countFullPages(server)
    ledger.resume()
    await server.reload({ full_page_writes: 'on' })
    await server.reload({ full_page_writes: 'off' })
    assert.ok(await isCopying(server), 'the backup ended too soon for this test')
    await backup

    await ledger.pause()
    const fullPagesAfterwards = await countFullPages(server)
    ledger.resume()
    // PostgreSQL promises it (runningBackups in access/transam/xlog.c); without it torn pages would stay torn.
    assert.ok(fullPagesMeanwhile > 0)
    assert.equal(fullPagesAfterwards, 0, 'so what was counted before came from the backup')
    await ledger.advance(20)
    await ledger.stop()
    await site.switchWal()
    await using restored = await site.restore('restored')
    await fullCheck(restored, { expected: ledger.expected(), exact: true })
  })

  test('fails, naming the segment, when the server stops to archive but counts on (M12, R18)', async () => {
    await using scratch = await createScratch('nowhere')
    await using cluster = await startProtectedCluster(scratch)
    const { server } = cluster
    const running = cluster.start(['backup', '--max-rate', '12MB'], { HOLDFAST_BACKUP_ARCHIVE_TIMEOUT: '3s' })
    await waitUntil('the copying', () => isCopying(server))

    await server.reload({ archive_command: 'true' })

    const { code, stderr } = await running.ended
    assert.match(
      stderr,
      /^error: waiting for WAL .* expected 00000001[0-9A-F]{16} within 3000 ms, it was not archived; /m,
    )
    assert.equal(code, 1, stderr)
    assert.deepEqual(await cluster.listed(), [])
    assert.deepEqual(await cluster.keys('data'), [])
    await server.reload({ archive_command: cluster.archiveCommand })
    await cluster.takeBackup()
  })
})

describe('a cluster that ran with wal_level minimal between two backups', () => {
  test('restores to before it and from after it, and never across it (W5, R36)', async () => {
    await using scratch = await createScratch('minimal')
    await using site = await startUserSite({ major: 17, scratch })
    const { server } = site
    await prepareLedger(server)
    await using ledger = await startLedger(server, { ratePerSecond: 100 })
    const before = await site.backup()
    await ledger.advance(20)
    const mark = await ledger.marker()
    await ledger.advance(20)
    await site.switchWal()

    await changeSettings(server, { wal_level: 'minimal', archive_mode: 'off', max_wal_senders: '0' })
    await ledger.advance(20)
    const refused = await site.run('backup')
    await changeSettings(server, { wal_level: 'replica', archive_mode: 'on', max_wal_senders: '10' })
    await ledger.advance(20)
    const between = await ledger.marker()
    await ledger.advance(20)
    await site.switchWal()

    assert.equal(refused.code, 2, refused.stderr)
    const target = ['--target-time', between.time, '--target-dir', join(site.folder, 'across')]
    const across = await site.run('restore', '--backup', before, ...target)
    assert.notEqual(across.code, 0)
    assert.match(across.stderr, /wal_level/)
    await using earlier = await site.restore('earlier', '--target-lsn', mark.lsn, '--target-exclusive')
    await fullCheck(earlier, { expected: ledger.expected(mark), exact: true })
    const after = await site.backup()
    await ledger.advance(20)
    await ledger.stop()
    await site.switchWal()
    await using latest = await site.restore('latest', '--backup', after)
    await fullCheck(latest, { expected: ledger.expected(), exact: true })
  })
})

/** Where `init --apply` has put them. */
async function changeSettings(server: TestServer, settings: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(settings))
    await server.query(`alter system set ${name} = '${value}'`)
  await server.restart()
}

async function isCopying(server: TestServer): Promise<boolean> {
  const [row] = await server.query<{ is: boolean }>(
    `select count(*) > 0 as is from pg_stat_activity
       where application_name = 'holdfast' and query ~ 'from pg_catalog.pg_control_checkpoint'`,
  )
  return row?.is ?? false
}

/**
 * Of what an update right after a checkpoint writes into the WAL. Some pages go there whole whatever the setting says: when
 * hint bits are set (XLogSaveBufferForHint in access/transam/xloginsert.c), when a hash index splits (REGBUF_FORCE_IMAGE).
 */
async function countFullPages(server: TestServer): Promise<number> {
  await using session = await server.session()
  const position = async (): Promise<string> => {
    const { rows } = await session.query<{ lsn: string }>('select pg_current_wal_insert_lsn() as lsn')
    return rows[0]?.lsn ?? assert.fail()
  }
  await session.query('checkpoint')
  const from = await position()
  await session.query("update accounts set note = 'x' || note where id <= 50")
  const { rows } = await session.query<{ count: number }>(
    `select count(*)::int as count from pg_get_wal_records_info($1, $2)
       where fpi_length > 0 and resource_manager = 'Heap' and record_type ~ 'UPDATE'`,
    [from, await position()],
  )
  return rows[0]?.count ?? 0
}

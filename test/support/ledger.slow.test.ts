import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fullCheck } from './full-check.ts'
import { prepareLedger } from './ledger-schema.ts'
import { startLedger } from './ledger.ts'
import type { Marker } from './ledger.ts'
import { openServer, startServer } from './postgres-server.ts'
import { createScratch } from './scratch.ts'
import { waitUntil } from './wait.ts'

describe('the ledger', () => {
  test('has markers that recovery reaches exactly, by time, LSN, transaction and name', async () => {
    await using scratch = await createScratch('markers')
    const archive = await scratch.makeFolder('archive')
    await using server = await startServer({
      major: 16,
      scratch,
      walSegmentSizeMb: 1,
      settings: { archive_mode: true, archive_command: `cp %p ${archive}/%f` },
    })
    await prepareLedger(server)
    await server.stop()
    const copies = ['time', 'lsn', 'xid', 'name'].map((kind) => ({
      kind,
      folder: join(scratch.folder, kind),
    }))
    for (const { folder } of copies) spawnSync('cp', ['-a', server.dataDirectory, folder])
    await server.start()
    await using ledger = await startLedger(server, { ratePerSecond: 1000 })
    await ledger.advance(300)
    const marker = await ledger.marker({ restorePoint: 'the marker', xid: true })
    await ledger.advance(300)
    await ledger.stop()
    const [last] = await server.query<{ segment: string }>(
      'select pg_walfile_name(pg_switch_wal()) as segment',
    )
    await waitUntil('the last segment to be archived', () => existsSync(join(archive, last?.segment ?? '-')))

    for (const { kind, folder } of copies) {
      const settings = {
        restore_command: `cp ${archive}/%f %p`,
        archive_mode: false,
        ...targetOf(kind, marker),
      }
      await writeFile(join(folder, 'recovery.signal'), '')
      await using restored = await openServer({
        major: 16,
        scratch,
        dataDirectory: folder,
        settings: { ...settings, recovery_target_action: 'promote', hot_standby: false },
      })
      const report = await fullCheck(restored, { expected: ledger.expected(marker), exact: true })
      assert.equal(report.ledgerRows, marker.acknowledgedCount, `by ${kind}`)
    }
  })

  test('goes on over a crash and a restart, and keeps unknown outcomes apart from acknowledged ones', async () => {
    await using scratch = await createScratch('crashes')
    await using server = await startServer({ major: 14, scratch })
    await prepareLedger(server, { accounts: 50 })
    await using ledger = await startLedger(server, { clients: 6, ratePerSecond: Infinity })

    for (let round = 0; round < 3; round += 1) {
      await ledger.advance(200)
      await server.kill()
      await server.start()
    }
    await ledger.advance(100)
    await server.restart()
    await ledger.advance(100)
    await ledger.stop()

    const { present, absent, unknown } = ledger.expected()
    assert.equal(
      new Set([...present, ...absent, ...unknown]).size,
      present.length + absent.length + unknown.length,
    )
    await fullCheck(server, { expected: ledger.expected(), exact: true })
  })

  test('stands still while it is paused, and remembers for each commit where it ended', async () => {
    await using scratch = await createScratch('pause')
    await using server = await startServer({ major: 18, scratch })
    await prepareLedger(server)
    await using ledger = await startLedger(server, { ratePerSecond: 1000 })
    await ledger.advance(50)

    await ledger.pause()
    const { lsn, acknowledgedCount } = await ledger.marker()
    const [row] = await server.query<{ count: number; late: number }>(
      `select (select count(*)::int from ledger) as count,
              (select count(*)::int from unnest($1::pg_lsn[]) l where l > $2) as late`,
      [ledger.acknowledged().map((commit) => commit.lsn), lsn],
    )

    assert.deepEqual(row, { count: acknowledgedCount, late: 0 })
    ledger.resume()
    await ledger.advance(50)
    await ledger.stop()
  })

  test('fails when a client fails for another reason than a lost connection', async () => {
    await using scratch = await createScratch('failing')
    await using server = await startServer({ major: 15, scratch })
    await prepareLedger(server)
    await using ledger = await startLedger(server)
    await ledger.advance(10)

    await server.query('alter table ledger rename to gone')

    await assert.rejects(ledger.advance(1_000_000), /a client of the ledger failed \(seed \d+\)/)
    await assert.rejects(ledger.stop(), /a client of the ledger failed/)
  })
})

function targetOf(kind: string, { time, lsn, xid = '' }: Marker): Record<string, string> {
  const values: Record<string, string> = { time, lsn, xid, name: 'the marker' }
  return { [`recovery_target_${kind}`]: values[kind] ?? '' }
}

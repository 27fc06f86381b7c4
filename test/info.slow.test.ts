import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { BackupDetailsDocument, InfoDocument } from '../src/api/info-document.ts'
import { expectOk } from './support/holdfast.ts'
import { startProtectedCluster, type ProtectedCluster } from './support/protected-cluster.ts'
import { createScratch } from './support/scratch.ts'
import { waitUntil } from './support/wait.ts'

describe('info', () => {
  test('of a cluster without backups says that nothing can be recovered', async () => {
    await using scratch = await createScratch('info')
    await using cluster = await startProtectedCluster(scratch)

    const { stdout } = expectOk(await cluster.run(['info']))

    assert.match(stdout, /cluster main: PostgreSQL 17, system \d+/)
    assert.match(stdout, /nothing can be recovered yet/)
    assert.match(stdout, /none yet; "holdfast backup" takes the first/)
  })

  test('shows the backups and a window from the first one to the newest archived commit (R40)', async () => {
    await using scratch = await createScratch('info')
    await using cluster = await startProtectedCluster(scratch)
    const first = await cluster.takeBackup()
    const second = await cluster.takeBackup()
    await cluster.server.query('create table later as select 1')
    await switchAndWait(cluster)
    const [row] = await cluster.server.query<{ time: string }>(
      'select to_char(clock_timestamp() at time zone \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') as time',
    )

    const info = await readInfo(cluster)

    const [repo] = info.repos
    assert.ok(repo)
    assert.deepEqual(
      repo.backups.map(({ label, isRestorable }) => ({ label, isRestorable })),
      [first, second].map(({ backup }) => ({ label: backup.label, isRestorable: true })),
    )
    const [window, ...others] = repo.windows
    assert.equal(others.length, 0)
    assert.equal(window?.oldestBackup, first.backup.label)
    assert.equal(window.fromTime, first.backup.stoppedAt)
    assert.ok((window.toTime ?? '') > second.backup.stoppedAt && (window.toTime ?? '') < (row?.time ?? ''))
    const begun = window.firstCommitAt ?? ''
    assert.ok(begun > first.backup.stoppedAt && begun <= (window.toTime ?? ''), begun)
    assert.equal(window.hasGap, false)
    const { stdout } = expectOk(await cluster.run(['info']))
    assert.match(stdout, /^from .*; the first commit is of \d{4}-[-\d]+ [:\d]+ UTC$/m)
    assert.match(stdout, new RegExp(`${first.backup.label} +full +(just now|\\d+ s ago)`))
    assert.match(stdout, /timeline 1: 0{7}1\d{16} to .* segments, LSN/)
  })

  test('shows a hole in the archive, what lies behind it and which backups lost their WAL (R28)', async () => {
    await using scratch = await createScratch('info')
    await using cluster = await startProtectedCluster(scratch)
    const { backup } = await cluster.takeBackup()
    await switchAndWait(cluster)
    await switchAndWait(cluster)
    const keys = await cluster.keys('wal')
    await removeObject(cluster, keys.at(-2) ?? '')
    await using place = await cluster.archive.place()

    const [before] = (await readInfo(cluster)).repos

    assert.equal(before?.wal.timelines[0]?.gaps.length, 1)
    assert.equal(before.windows[0]?.hasGap, true)
    const needed = keys.find((key) => key.includes(startSegmentEnd(backup.startLsn)))
    await place.repository.store.delete([needed ?? assert.fail()])
    const [after] = (await readInfo(cluster)).repos
    assert.deepEqual(after?.windows, [])
    assert.equal(after.backups[0]?.isRestorable, false)
    assert.match(expectOk(await cluster.run(['info'])).stdout, /WAL is missing/)
  })

  test('of one label tells all about that backup, and of an unknown one exits with 6', async () => {
    await using scratch = await createScratch('info')
    await using cluster = await startProtectedCluster(scratch)
    const { backup } = await cluster.takeBackup()

    const result = expectOk(await cluster.run(['--output', 'json', 'info', backup.label]))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
    const details = JSON.parse(result.stdout) as BackupDetailsDocument

    assert.equal(details.backup.stopLsn, backup.stopLsn)
    assert.match(details.serverVersion, /^17\.\d+$/)
    assert.equal(details.hasDataChecksums, true)
    assert.match(expectOk(await cluster.run(['info', backup.label])).stdout, /checksums +on/)
    const unknown = await cluster.run(['info', '20200101-000000F'])
    assert.equal(unknown.code, 6)
    assert.match(unknown.stderr, /no repository lists it/)
  })

  test('of a repository that is gone says so and how to get it back, and never "no backups"', async () => {
    await using scratch = await createScratch('info')
    await using cluster = await startProtectedCluster(scratch)
    await rm(cluster.archive.repositoryFolder, { recursive: true })

    const { code, stdout, stderr } = await cluster.run(['info'])

    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /expected a directory with the file ".holdfast-store"/)
  })
})

async function readInfo(cluster: ProtectedCluster): Promise<InfoDocument> {
  const { stdout } = expectOk(await cluster.run(['--output', 'json', 'info']))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the tests look at
  return JSON.parse(stdout) as InfoDocument
}

async function switchAndWait({ server }: ProtectedCluster): Promise<void> {
  await server.query('create table if not exists filling (text text)')
  await server.query("insert into filling values ('x')")
  const [row] = await server.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name')
  await waitUntil('the segment to be archived', async () => {
    const [archiver] = await server.query<{ done: boolean }>(
      'select last_archived_wal >= $1 as done from pg_stat_archiver',
      [row?.name],
    )
    return archiver?.done
  })
}

async function removeObject(cluster: ProtectedCluster, key: string): Promise<void> {
  await rm(join(cluster.archive.repositoryFolder, key))
}

/** The end of the name of the segment that holds the LSN: segments have 16 MiB. */
function startSegmentEnd(lsn: string): string {
  const [high = '', low = ''] = lsn.split('/')
  const number = Number.parseInt(low.padStart(8, '0').slice(0, 2), 16)
  return `${high.padStart(8, '0')}/00000001${high.padStart(8, '0')}${number.toString(16).toUpperCase().padStart(8, '0')}`
}

import assert from 'node:assert/strict'
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { BackupDocument } from '../src/api/backup-document.ts'
import type { InfoDocument } from '../src/api/info-document.ts'
import { fullCheck } from './support/full-check.ts'
import { expectOk } from './support/holdfast.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { startProtectedCluster, type ProtectedCluster } from './support/protected-cluster.ts'
import { createScratch } from './support/scratch.ts'
import { waitUntil } from './support/wait.ts'

describe('an incremental backup', () => {
  for (const major of [14, 18] as const) {
    test(`of PostgreSQL ${major} under load reads what changed and recovers to every commit (R50, R51)`, async () => {
      await using scratch = await createScratch('incremental')
      await using cluster = await startProtectedCluster(scratch, { major })
      await prepareLedger(cluster.server)
      await using ledger = await startLedger(cluster.server)
      await ledger.advance(100)
      const full = await cluster.takeBackup()
      await ledger.advance(100)

      const audited = await cluster.takeBackup()
      await ledger.advance(100)
      const { backup } = await cluster.takeBackup()

      assert.deepEqual(
        [full.backup, audited.backup, backup].map(({ type, parent, isAudited }) => [type, parent, isAudited]),
        [
          ['full', null, false],
          ['incr', full.backup.label, true],
          ['incr', audited.backup.label, false],
        ],
      )
      await ledger.advance(100)
      await ledger.stop()
      await using recovered = await cluster.recover(backup.label)
      await fullCheck(recovered, { expected: ledger.expected(), exact: true })
    })
  }

  test('goes on from nothing that is damaged, and is full when everything is (X7)', async () => {
    await using scratch = await createScratch('incremental-damaged')
    await using cluster = await startProtectedCluster(scratch, { major: 18 })
    const { backup: full } = await cluster.takeBackup()
    await cluster.server.query('create table t as select generate_series(1, 20000) i')
    const { backup: child } = await cluster.takeBackup()
    assert.equal(child.parent, full.label)

    await damagePack(cluster, child.label)
    const { backup: sibling } = await cluster.takeBackup()
    await damagePack(cluster, full.label)
    const { backup: anew } = await cluster.takeBackup()

    assert.deepEqual([sibling.type, sibling.parent], ['incr', full.label])
    assert.deepEqual([anew.type, anew.parent], ['full', null])
    const result = await cluster.run(['backup', '--type', 'incr'])
    expectOk(result)
  })

  test('becomes a full one when the backup to go on from turns out to be damaged (X7)', async () => {
    await using scratch = await createScratch('incremental-surprise')
    await using cluster = await startProtectedCluster(scratch, { major: 15 })
    const { backup: full } = await cluster.takeBackup()
    for (const key of await cluster.keys('data')) await cutOff(join(cluster.archive.repositoryFolder, key))

    const result = expectOk(await cluster.run(['--output', 'json', 'backup']))

    assert.match(result.stderr, /a full backup is taken instead/)
    const { backup } = JSON.parse(result.stdout) as BackupDocument
    assert.equal(backup.type, 'full')
    assert.notEqual(backup.label, full.label)
    const insisting = await cluster.run(['backup', '--type', 'incr', '--audit'])
    expectOk(insisting)
  })

  test('reads everything and says why when WAL in between is missing (R52), and restores all the same', async () => {
    await using scratch = await createScratch('incremental-gap')
    await using cluster = await startProtectedCluster(scratch, { major: 16 })
    await prepareLedger(cluster.server)
    await using ledger = await startLedger(cluster.server)
    await ledger.advance(30)
    await cluster.takeBackup()
    await ledger.advance(30)
    await cluster.server.query('select pg_switch_wal()')
    await ledger.advance(10)
    // A backup stores its last segment itself: the archiver may still come with it, and would bring back what is taken away.
    await waitUntil('the archiver to be idle', async () => (await waiting(cluster)).length === 0)
    const lost = (await archivedSegments(cluster)).at(-1) ?? assert.fail()
    await cluster.server.query('checkpoint')
    await rm(join(cluster.archive.repositoryFolder, lost))
    await rm(join(cluster.server.dataDirectory, 'pg_wal', segmentIn(lost)), { force: true })

    const result = expectOk(await cluster.run(['--output', 'json', 'backup']))

    assert.match(result.stderr, new RegExp(`everything is read, .*${segmentIn(lost)}`))
    const { backup } = JSON.parse(result.stdout) as BackupDocument
    assert.deepEqual([backup.type, backup.isAudited], ['incr', false])
    await ledger.advance(30)
    await ledger.stop()
    await using recovered = await cluster.recover(backup.label)
    await fullCheck(recovered, { expected: ledger.expected(), exact: true })
  })

  test('stores the last segment of its WAL itself, once the archiver has been seen to work (R3, R18)', async () => {
    await using scratch = await createScratch('incremental-last-segment')
    await using cluster = await startProtectedCluster(scratch, { major: 17 })
    const { server } = cluster
    await cluster.takeBackup()
    await waitUntil('the archiver to be idle', async () => (await waiting(cluster)).length === 0)
    // One segment and no other: that with which a backup proves that archiving works.
    const held = join(await scratch.makeFolder('held'), 'held')
    const once = `test ! -e ${held} && ( ${cluster.archiveCommand.replace('--ahead', '')} ) && touch ${held}`
    await server.reload({ archive_command: once })

    const { backup } = await cluster.takeBackup()

    assert.equal(backup.type, 'incr')
    assert.ok((await waiting(cluster)).length > 0)
    const result = await cluster.run(['backup'], { HOLDFAST_BACKUP_ARCHIVE_TIMEOUT: '2s' })
    assert.equal(result.code, 1, result.stderr)
    assert.match(result.stderr, /it was not archived/)
    assert.equal((await cluster.listed()).length, 2)
    await server.reload({ archive_command: cluster.archiveCommand })
    await using recovered = await cluster.recover(backup.label)
    await recovered.query('select 1')
  })

  test('is told in info with what it added, refers to, and would free', async () => {
    await using scratch = await createScratch('incremental-info')
    await using cluster = await startProtectedCluster(scratch, { major: 17 })
    const { backup: full } = await cluster.takeBackup()
    await cluster.server.query('create table t as select generate_series(1, 20000) i')
    const { backup: child } = await cluster.takeBackup()

    const { repos } = JSON.parse(
      expectOk(await cluster.run(['--output', 'json', 'info'])).stdout,
    ) as InfoDocument
    const [first, second] = repos[0]?.backups ?? []
    assert.ok(first !== undefined && second !== undefined)
    assert.ok((second.referencedBytes ?? 0) > (second.freedBytes ?? 0))
    assert.ok(
      (first.freedBytes ?? 0) < (first.referencedBytes ?? 0),
      'the child refers to packs of the full backup',
    )
    const one = expectOk(await cluster.run(['info', child.label])).stdout
    assert.match(one, new RegExp(`incr, audited\\) of cluster main, goes on from ${full.label}`))
    assert.match(one, /^frees .* when it is deleted/m)
  })
})

/** Flips a bit in the data of one of a backup's packs, and lets verify find it. */
async function damagePack(cluster: ProtectedCluster, label: string): Promise<void> {
  const key = (await cluster.keys('data')).find((name) => name.includes(label)) ?? assert.fail()
  const path = join(cluster.archive.repositoryFolder, key)
  const bytes = await readFile(path)
  bytes[bytes.length >> 2] = 1 ^ (bytes[bytes.length >> 2] ?? 0)
  await chmod(path, 0o600)
  await writeFile(path, bytes)
  assert.equal((await cluster.run(['verify'])).code, 4)
}

/** Takes the end of a pack away, where its index is. */
async function cutOff(path: string): Promise<void> {
  const bytes = await readFile(path)
  await chmod(path, 0o600)
  await writeFile(path, bytes.subarray(0, bytes.length - 100))
}

async function archivedSegments(cluster: ProtectedCluster): Promise<readonly string[]> {
  return (await cluster.keys('wal')).filter((key) => /\/[0-9A-F]{24}-/.test(key))
}

const segmentIn = (key: string): string => /[0-9A-F]{24}(?=-)/.exec(key)?.[0] ?? assert.fail(key)

/** What the archiver of the server has still to do. */
async function waiting({ server }: ProtectedCluster): Promise<readonly string[]> {
  const names = await readdir(join(server.dataDirectory, 'pg_wal', 'archive_status'))
  return names.filter((name) => name.endsWith('.ready'))
}

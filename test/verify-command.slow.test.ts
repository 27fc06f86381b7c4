import assert from 'node:assert/strict'
import { chmod, chown, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { InfoDocument } from '../src/api/info-document.ts'
import type { VerifiedRepoListing, VerifyDocument } from '../src/api/verify-document.ts'
import { archiveEverything } from './support/archive-everything.ts'
import type { TestServer } from './support/postgres-server.ts'
import { flipBit } from './support/repository-samples.ts'
import { startProtectedCluster, type ProtectedCluster } from './support/protected-cluster.ts'
import { createScratch } from './support/scratch.ts'
import { startUserSite } from './support/user-site.ts'

describe('holdfast verify', () => {
  test('proves a real repository, exits 4 for damage, and lets info say so until it is gone', async () => {
    await using scratch = await createScratch('verify')
    await using cluster = await startProtectedCluster(scratch)
    const { backup } = await cluster.takeBackup()
    await cluster.takeBackup('--type', 'full')

    const clean = await verify(cluster, 0)
    assert.deepEqual(clean.damage, [])
    assert.ok(clean.provenRawBytes > backup.restoredBytes)

    const keys = await cluster.keys('data')
    const key = keys.find((each) => each.includes(backup.label)) ?? assert.fail()
    const path = join(cluster.archive.repositoryFolder, key)
    const whole = await readFile(path)
    await writeFile(path, flipBit(whole, 8 * 5000))
    const { damage } = await verify(cluster, 4)
    assert.deepEqual(
      damage.map((each) => [each.key, each.backups]),
      [[key, [backup.label]]],
    )
    const text = await cluster.run(['verify', '--sample', '1'])
    assert.equal(text.code, 4)
    assert.match(text.stdout, new RegExp(`costs backup ${backup.label}`))
    assert.deepEqual(await damagedIn(cluster), [backup.label])
    assert.match((await cluster.run(['info'])).stdout, /DAMAGED/)

    await writeFile(path, whole)
    assert.deepEqual((await verify(cluster, 0)).damage, [])
    assert.deepEqual(await damagedIn(cluster), [])
  })

  test('goes on where a killed run has come to', async () => {
    await using scratch = await createScratch('verify')
    await using cluster = await startProtectedCluster(scratch)
    await cluster.takeBackup()
    const running = cluster.start(['verify'])
    running.kill('SIGKILL')
    await running.ended

    assert.deepEqual((await verify(cluster, 0)).damage, [])
  })

  for (const major of [14, 18] as const) {
    test(`follows the WAL over a fork and a crash, on PostgreSQL ${major}`, async () => {
      await using scratch = await createScratch('verify')
      await using site = await startUserSite({ major, scratch, walSegmentSizeMb: 1 })
      await site.backup()
      await write(site.server)
      const [fork] = await site.server.query<{ lsn: string }>('select pg_current_wal_insert_lsn() as lsn')
      await write(site.server)
      await site.server.kill()
      await site.server.start()
      await write(site.server)
      await site.switchWal()
      const back = ['--target-lsn', fork?.lsn ?? '', '--target-exclusive', '--continue-lineage']
      await using heir = await site.restore('heir', ...back)
      await write(heir)
      await archiveEverything(heir)

      const document = (await site.answer('verify')) as unknown as VerifyDocument

      assert.deepEqual(document.repos[0]?.damage, [])
      const { repos } = (await site.answer('info')) as unknown as InfoDocument
      assert.deepEqual(
        repos[0]?.wal.timelines.map(({ timeline }) => timeline),
        [1, 2],
      )
    })
  }

  test('reads segments that are archived in parts', async () => {
    await using scratch = await createScratch('verify')
    await using site = await startUserSite({ major: 17, scratch, walSegmentSizeMb: 64 })
    await write(site.server)
    await site.backup()

    const document = (await site.answer('verify')) as unknown as VerifyDocument

    assert.deepEqual(document.repos[0]?.damage, [])
  })

  test('verifies also what it may not write to, and says that it remembers nothing', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root can give files away')
    await using scratch = await createScratch('verify')
    await using cluster = await startProtectedCluster(scratch)
    await cluster.takeBackup()
    const root = cluster.archive.repositoryFolder
    const paths = await readdir(root, { recursive: true, withFileTypes: true })
    for (const path of [root, ...paths.map((entry) => join(entry.parentPath, entry.name))]) {
      await chown(path, 0, 0)
      await chmod(path, 0o755)
    }

    const result = await cluster.run(['--output', 'json', 'verify'])

    assert.equal(result.code, 0, result.stderr)
    const document = JSON.parse(result.stdout) as VerifyDocument
    assert.equal(document.repos[0]?.isRemembered, false)
    assert.match(result.stderr, /what is proven cannot be remembered/)
  })

  test('refuses what it cannot mean', async () => {
    await using scratch = await createScratch('verify')
    await using cluster = await startProtectedCluster(scratch)

    for (const wrong of [
      ['--sample', '0'],
      ['--sample', '101'],
      ['--sample', '5', '--all'],
      ['--workers', '0'],
    ])
      assert.equal((await cluster.run(['verify', ...wrong])).code, 2)
  })
})

async function verify(cluster: ProtectedCluster, exitCode: number): Promise<VerifiedRepoListing> {
  const result = await cluster.run(['--output', 'json', 'verify'])
  assert.equal(result.code, exitCode, result.stderr)
  const document = JSON.parse(result.stdout) as VerifyDocument
  assert.equal(document.isDamaged, exitCode === 4)
  return document.repos[0] ?? assert.fail()
}

async function damagedIn(cluster: ProtectedCluster): Promise<readonly string[]> {
  const { stdout } = await cluster.run(['--output', 'json', 'info'])
  const { repos } = JSON.parse(stdout) as InfoDocument
  return repos.flatMap(({ backups }) =>
    backups.filter(({ isDamaged }) => isDamaged).map(({ label }) => label),
  )
}

/** More than a segment of 1 MiB, in records of all sizes. */
async function write(server: TestServer): Promise<void> {
  await server.query('create table if not exists written (id int, filling text)')
  await server.query("insert into written select id, repeat('x', id % 3000) from generate_series(1, 2000) id")
  await server.query('update written set id = id + 1')
}

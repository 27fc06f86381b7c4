import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { InfoDocument } from '../src/api/info-document.ts'
import type { VerifiedRepoListing, VerifyDocument } from '../src/api/verify-document.ts'
import { flipBit } from './support/repository-samples.ts'
import { startProtectedCluster, type ProtectedCluster } from './support/protected-cluster.ts'
import { createScratch } from './support/scratch.ts'

describe('holdfast verify', () => {
  test('proves a real repository, exits 4 for damage, and lets info say so until it is gone', async () => {
    await using scratch = await createScratch('verify')
    await using cluster = await startProtectedCluster(scratch)
    const { backup } = await cluster.takeBackup()
    await cluster.takeBackup()

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

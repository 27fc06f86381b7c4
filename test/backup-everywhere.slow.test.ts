import assert from 'node:assert/strict'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { BackupDocument } from '../src/api/backup-document.ts'
import { fullCheck } from './support/full-check.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { createScratch } from './support/scratch.ts'
import { addSecondRepository } from './support/second-repository.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

describe('backup of a cluster with two repositories', () => {
  test('is in both, and restores from each', async () => {
    await using scratch = await createScratch('everywhere')
    await using site = await startUserSite({ major: 18, scratch, walSegmentSizeMb: 1 })
    await addSecondRepository(site, scratch)
    await prepareLedger(site.server)
    await site.server.query(
      'create table bulk as select md5(i::text) as text from generate_series(1, 300000) i',
    )
    await using ledger = await startLedger(site.server)
    await ledger.advance(20)

    const full = await backup(site)
    await ledger.advance(20)
    const next = await backup(site)
    await ledger.advance(20)
    await ledger.stop()
    await site.switchWal()

    for (const { copies } of [full, next]) {
      assert.deepEqual(
        copies.map(({ repo, failure }) => [repo, failure]),
        [['second', null]],
      )
    }
    assert.equal(next.backup.parent, full.backup.label)
    await rename(site.repository, `${site.repository}-lost`)
    for (const { label } of [full.backup, next.backup]) {
      await using restored = await site.restore(label, '--repo', 'second', '--backup', label)
      await fullCheck(restored, { expected: ledger.expected(), exact: true })
    }
  })

  test('is complete in the first while the second is gone, says so, and is brought there later', async () => {
    await using scratch = await createScratch('everywhere-gone')
    await using site = await startUserSite({ major: 15, scratch })
    await addSecondRepository(site, scratch)
    const second = join(site.folder, 'second')
    const { backup: full } = await backup(site)
    await rename(second, `${second}-gone`)

    const result = await site.run('--output', 'json', 'backup')

    assert.ok(result.code !== 0 && result.code !== null)
    assert.match(result.stderr, /^warning: repo "second" does not have backup \d{8}-\d{6}I: /m)
    const { backup: next } = JSON.parse(result.stdout) as BackupDocument
    assert.deepEqual([await labelsIn(site, 'local')], [[full.label, next.label]])
    await rename(`${second}-gone`, second)
    await site.answer('repo', 'copy')
    assert.deepEqual(await labelsIn(site, 'second'), [full.label, next.label])
  })

  test('is in one of them when that is asked for', async () => {
    await using scratch = await createScratch('everywhere-one')
    await using site = await startUserSite({ major: 14, scratch })
    await addSecondRepository(site, scratch)

    const { copies } = await backup(site, '--repo', 'second')

    assert.deepEqual(copies, [])
    assert.deepEqual(await labelsIn(site, 'local'), [])
  })
})

async function backup(site: UserSite, ...options: readonly string[]): Promise<BackupDocument> {
  return (await site.answer(...options, 'backup')) as unknown as BackupDocument
}

async function labelsIn(site: UserSite, repo: string): Promise<readonly string[]> {
  const { repos } = (await site.answer('--repo', repo, 'info')) as unknown as {
    repos: readonly { readonly backups: readonly { readonly label: string }[] }[]
  }
  return repos.flatMap(({ backups }) => backups.map(({ label }) => label))
}

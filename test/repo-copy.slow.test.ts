import assert from 'node:assert/strict'
import { chmod, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { CheckDocument, CheckItemListing } from '../src/api/check-document.ts'
import type { CopyDocument } from '../src/api/copy-document.ts'
import type { InfoDocument } from '../src/api/info-document.ts'
import { fullCheck } from './support/full-check.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { createScratch } from './support/scratch.ts'
import { addSecondRepository } from './support/second-repository.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

describe('repo copy', () => {
  test('makes a second repository that everything can be restored from, and goes on from', async () => {
    await using scratch = await createScratch('repo-copy')
    await using site = await startUserSite({ major: 17, scratch, walSegmentSizeMb: 1 })
    await prepareLedger(site.server)
    await using ledger = await startLedger(site.server)
    await ledger.advance(40)
    const full = await site.backup()
    await ledger.advance(40)
    const first = await site.backup()
    await ledger.advance(40)
    await site.switchWal()
    await addSecondRepository(site, scratch)

    const [copied] = await copy(site)

    assert.deepEqual(
      copied?.backups.map(({ label }) => label),
      [full, first],
    )
    assert.ok(copied.backups.every(({ storedBytes }) => storedBytes > 0) && copied.walFiles > 0)
    await ledger.advance(40)
    const second = await site.backup('--repo', 'second', '--audit')
    await ledger.advance(40)
    await ledger.stop()
    await site.switchWal()
    await rename(site.repository, `${site.repository}-lost`)
    const info = (await site.answer('--repo', 'second', 'info')) as unknown as InfoDocument
    const backups = info.repos[0]?.backups ?? []
    assert.deepEqual(
      backups.map(({ label, type }) => [label, type]),
      [
        [full, 'full'],
        [first, 'incr'],
        [second, 'incr'],
      ],
    )
    await site.answer('--repo', 'second', 'verify')
    for (const label of [full, first, second]) {
      await using restored = await site.restore(label, '--repo', 'second', '--backup', label)
      await fullCheck(restored, { expected: ledger.expected(), exact: true })
    }
  })

  test('brings nothing back that was deleted there, unless it is asked for', async () => {
    await using scratch = await createScratch('repo-copy-forgotten')
    await using site = await startUserSite({ major: 14, scratch })
    await addSecondRepository(site, scratch)
    const alone = ['--repo', 'local']
    const labels = [await site.backup(...alone), await site.backup(...alone), await site.backup(...alone)]
    const [, middle = ''] = labels
    const lagging = await checked(site, 'copies in repo second')
    assert.deepEqual([lagging?.state, lagging?.message], ['warning', 'it lacks the newest 3 backups'])
    assert.equal((await copy(site))[0]?.backups.length, labels.length)
    assert.equal(await checked(site, 'copies in repo second'), undefined)
    assert.match(
      (await checked(site, 'copies'))?.message ?? '',
      /in local, second: 3 copies with the cluster/,
    )
    await site.answer('--repo', 'second', 'delete', middle, '--confirm', 'main')

    const [again] = await copy(site)
    assert.deepEqual([again?.backups, again?.forgotten], [[], [middle]])

    const [asked] = await copy(site, '--backup', middle)
    assert.deepEqual(
      asked?.backups.map(({ label }) => label),
      [middle],
    )
  })

  test('heals a repository that verify finds damaged', async () => {
    await using scratch = await createScratch('repo-copy-heal')
    await using site = await startUserSite({ major: 16, scratch, walSegmentSizeMb: 1 })
    await prepareLedger(site.server)
    await addSecondRepository(site, scratch)
    await using ledger = await startLedger(site.server)
    await ledger.advance(30)
    await site.backup()
    await ledger.advance(30)
    const newest = await site.backup()
    await ledger.advance(10)
    await ledger.stop()
    await site.switchWal()
    const second = join(site.folder, 'second')
    const harmed = [await damageOne(second, /\/data\//), await damageOne(second, /\/wal\/00000001\//)]
    const packs = await damageOne(site.repository, /\/data\/.*I\//)
    const mixed = await site.run('restore', '--target-dir', join(site.folder, 'mixed'), '--target-immediate')
    assert.equal(mixed.code, 0, mixed.stderr)
    assert.match(mixed.stderr, /^warning: .*; taken from "posix:.*\/second" instead/m)
    await rm(packs)
    const gone = await site.run('restore', '--target-dir', join(site.folder, 'gone'), '--target-immediate')
    assert.deepEqual([gone.code, /taken from "posix/.test(gone.stderr)], [0, true], gone.stderr)
    const alone = ['--repo', 'local', 'restore', '--target-dir', join(site.folder, 'alone')]
    assert.equal((await site.run(...alone)).code, 4)
    const found = await site.run('--repo', 'second', 'verify')
    assert.equal(found.code, 4, found.stderr)

    const [healed] = await copy(site, '--repair')

    assert.ok(
      healed !== undefined && healed.repaired.packs === 1 && healed.repaired.walFiles >= 1,
      harmed.join(' '),
    )
    await site.answer('--repo', 'second', 'verify')
    await rename(site.repository, `${site.repository}-lost`)
    await using restored = await site.restore('healed', '--repo', 'second', '--backup', newest)
    await fullCheck(restored, { expected: ledger.expected(), exact: true })
  })

  test('refuses what it cannot mean', async () => {
    await using scratch = await createScratch('repo-copy-refused')
    await using site = await startUserSite({ major: 18, scratch })

    const alone = await site.run('repo', 'copy')
    assert.deepEqual([alone.code, /expected two, found 1/.test(alone.stderr)], [2, true])
    await addSecondRepository(site, scratch)
    for (const [options, message] of [
      [['--to', 'third'], /expected one of "local", "second", found "third"/],
      [['--from', 'second', '--to', 'second'], /found one twice/],
      [['--backup', 'yesterday'], /yesterday/],
    ] as const) {
      const refused = await site.run('repo', 'copy', ...options)
      assert.deepEqual([refused.code, message.test(refused.stderr)], [2, true], refused.stderr)
    }
    const unknown = await site.run('repo', 'copy', '--backup', '20200101-000000F')
    assert.equal(unknown.code, 6, unknown.stderr)
  })
})

async function checked(site: UserSite, name: string): Promise<CheckItemListing | undefined> {
  const { stdout } = await site.run('--output', 'json', 'check')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the tests look at
  return (JSON.parse(stdout) as CheckDocument).items.find((item) => item.name === name)
}

async function copy(site: UserSite, ...options: readonly string[]): Promise<CopyDocument['repos']> {
  const document = (await site.answer('repo', 'copy', ...options)) as unknown as CopyDocument
  assert.deepEqual(document.failures, [])
  return document.repos
}

/** Turns a bit of the first object whose path fits, and gives the path. */
async function damageOne(repository: string, pattern: RegExp): Promise<string> {
  const entries = await readdir(repository, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
  const path = paths.toSorted().find((candidate) => pattern.test(candidate)) ?? assert.fail(String(pattern))
  const bytes = await readFile(path)
  bytes[200] = (bytes[200] ?? 0) ^ 1
  await chmod(path, 0o600)
  await writeFile(path, bytes)
  return path
}

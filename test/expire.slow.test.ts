import assert from 'node:assert/strict'
import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExpireDocument } from '../src/api/expire-document.ts'
import type { InfoDocument } from '../src/api/info-document.ts'
import { openCluster, type ClusterSelection } from '../src/app/open-cluster.ts'
import { loadConfiguration } from '../src/config/load-configuration.ts'
import { sweepCluster, type SweepResult } from '../src/retention/sweep.ts'
import { archiveEverything } from './support/archive-everything.ts'
import { fullCheck } from './support/full-check.ts'
import { giveTree } from './support/give-tree.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import type { TestServer } from './support/postgres-server.ts'
import { testContext } from './support/repository.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { startHoldfast } from './support/start-holdfast.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'
import { waitUntil } from './support/wait.ts'

describe('expire', () => {
  test('leaves of a pinned backup its own end, and of what is kept every moment (R67, R68)', async () => {
    await using scratch = await createScratch('expire')
    await using site = await startUserSite({ major: 18, scratch, walSegmentSizeMb: 1 })
    await prepareLedger(site.server)
    await using ledger = await startLedger(site.server)
    const take = async () => {
      await ledger.advance(20)
      const mark = await ledger.marker()
      const label = await site.backup('--type', 'full')
      await ledger.advance(20)
      await site.switchWal()
      return { mark, label }
    }
    const { mark: atPinned, label: pinned } = await take()
    const { label: second } = await take()
    const { label: third } = await take()
    const { mark: atFourth, label: fourth } = await take()
    await site.answer('pin', pinned)
    await keep(site, { count: 2, minimum: 1 })

    const before = await tree(site)
    const planned = await expire(site, '--dry-run')
    assert.deepEqual(withoutWal(await tree(site)), withoutWal(before))
    const done = await expire(site, '--confirm', 'main')

    assert.deepEqual(planned.repos[0]?.keep, done.repos[0]?.keep)
    assert.deepEqual(done.repos[0]?.done, { removed: [second], ownWal: [pinned] })
    await ledger.advance(20)
    await ledger.stop()
    await site.switchWal()
    const { pack, wal, manifest } = await sweepAtOnce(site, scratch)
    assert.ok(pack.count > 0 && wal.count > 0 && manifest.count > 0)
    await checkInfo(site, { pinned, third, fourth })
    await using own = await site.restore('own', '--backup', pinned, '--target-immediate')
    const atOwn = ledger.expected(atPinned)
    await fullCheck(own, { expected: { present: atOwn.present, absent: [], unknown: atOwn.absent } })
    await using latest = await site.restore('latest')
    await fullCheck(latest, { expected: ledger.expected(), exact: true })
    await using moment = await site.restore('moment', '--target-lsn', atFourth.lsn, '--target-exclusive')
    await fullCheck(moment, { expected: ledger.expected(atFourth), exact: true })
    const refused = await site.run('restore', '--target-dir', join(site.folder, 'x'), '--backup', pinned)
    assert.equal(refused.code, 3)
    assert.match(refused.stderr, /restored with "--target-immediate" only/)
  })

  test('keeps what a new timeline is reached from until it has a backup, then forgets the old one (R67)', async () => {
    await using scratch = await createScratch('expire-timelines')
    await using site = await startUserSite({ major: 17, scratch, walSegmentSizeMb: 1 })
    await prepareLedger(site.server)
    const first = await site.backup()
    await using before = await startLedger(site.server)
    await before.advance(30)
    const fork = await before.marker()
    await before.advance(30)
    await before.stop()
    const abandoned = await site.backup()
    await site.switchWal()
    const back = ['--target-lsn', fork.lsn, '--target-exclusive', '--continue-lineage']
    await using heir = await site.restore('heir', ...back)
    await site.server.stop()
    await using after = await startLedger(heir, { seed: 7 })
    await after.advance(30)
    await archiveEverything(heir)
    await follow(site, heir)
    await keep(site, { count: 1, minimum: 1 })

    await expire(site)
    await sweepAtOnce(site, scratch)
    assert.deepEqual(await labels(site), [first, abandoned])
    await after.stop()
    await archiveEverything(heir)
    const present = [...before.expected(fork).present, ...after.expected().present]
    const absent = before.expected().present.slice(fork.acknowledgedCount)
    await using onTwo = await site.restore('on-two', '--target-timeline', '2')
    await fullCheck(onTwo, { expected: { present, absent, unknown: [] }, exact: true })

    const third = await site.backup()
    // While its WAL is archived, a timeline is not over.
    await expire(site, '--confirm', 'main')
    assert.deepEqual(await labels(site), [abandoned, third])
    await age(site, '/wal/00000001/')
    await expire(site, '--confirm', 'main')
    await sweepAtOnce(site, scratch)
    assert.deepEqual(await labels(site), [third])
    await archiveEverything(heir)
    await using latest = await site.restore('latest')
    await fullCheck(latest, { expected: { present, absent, unknown: [] }, exact: true })
  })

  test('leaves a backup that runs alone, and one of two at once works (Q3, Q4)', async () => {
    await using scratch = await createScratch('expire-concurrent')
    await using site = await startUserSite({ major: 17, scratch, walSegmentSizeMb: 1 })
    const taken = [await site.backup(), await site.backup(), await site.backup()]
    await keep(site, { count: 2 })
    const running = startHoldfast(['backup', '--max-rate', '2MB'], { config: site.configuration })
    await waitUntil('the fourth lease for a backup', async () => {
      const paths = [...(await tree(site)).keys()]
      return paths.some((path) => path.includes('/lease/backup/0000000004.'))
    })

    const both = await Promise.all([site.run('expire'), site.run('expire')])

    assert.ok(both.some(({ code }) => code === 0))
    for (const { code, stderr } of both) assert.ok(code === 0 || /runs on host/.test(stderr), stderr)
    assert.match(both.map(({ stdout }) => stdout).join(''), /nothing is deleted now, because of this: backup/)
    const { code, stderr } = await running.ended
    assert.equal(code, 0, stderr)
    assert.equal((await labels(site)).length, 3)
    assert.deepEqual((await labels(site)).slice(0, 2), taken.slice(1))
    await expire(site)
    await sweepAtOnce(site, scratch)
    assert.equal((await labels(site))[0], taken[2])
    await using restored = await site.restore('restored')
    await fullCheck(restored)
  })

  test('refuses what looks like a mistake: too much at once, a wrong clock, an unreadable manifest (Q6, T1)', async () => {
    await using scratch = await createScratch('expire-refusals')
    await using site = await startUserSite({ major: 16, scratch, walSegmentSizeMb: 1 })
    const taken = [await site.backup(), await site.backup(), await site.backup()]

    const unruled = await site.run('expire')
    assert.equal(unruled.code, 0)
    assert.match(unruled.stdout, /nothing expires\nno keep rule is set/)
    await keep(site, { window: '1s', minimum: 1 })
    await sleep(1500)
    const before = await labels(site)
    const drastic = await site.run('expire')
    assert.equal(drastic.code, 5)
    assert.match(drastic.stderr, /half or more of 3 backups would go \(2\).*\n.*--confirm main/)
    assert.equal((await site.run('expire', '--confirm', 'other')).code, 5)
    assert.deepEqual(await labels(site), before)

    const manifest = [...(await tree(site)).keys()].find((path) => path.includes(`/backup/${taken[1]}/`))
    assert.ok(manifest !== undefined)
    const bytes = await readFile(manifest)
    await writeFile(manifest, bytes.with(bytes.length - 1, (bytes.at(-1) ?? 0) ^ 1))
    const unreadable = await site.run('expire', '--confirm', 'main')
    assert.equal(unreadable.code, 4)
    assert.match(unreadable.stderr, new RegExp(`nothing is removed.*\\n.*holdfast delete ${taken[1]}`))
    assert.deepEqual(await labels(site), before)
    await site.answer('delete', taken[1] ?? '', '--confirm', 'main')

    await site.answer('expire', '--confirm', 'main')
    assert.deepEqual(await labels(site), [taken[2]])
  })
})

describe('backup', () => {
  test('expires older ones when it is complete, and is complete when that is refused', async () => {
    await using scratch = await createScratch('expire-after')
    await using site = await startUserSite({ major: 14, scratch, walSegmentSizeMb: 1 })
    await keep(site, { count: 2, 'after-backup': true })
    const taken = [await site.backup(), await site.backup()]

    const third = await site.run('backup')
    assert.equal(third.code, 0, third.stderr)
    assert.match(third.stderr, new RegExp(`backup ${taken[0]} has expired`))
    const left = await labels(site)
    assert.equal(left.length, 2)

    await keep(site, { count: 1, minimum: 1, 'after-backup': true })
    for (const label of left) await site.answer('pin', label)
    const fourth = await site.run('backup')
    assert.equal(fourth.code, 0, fourth.stderr)
    assert.match(fourth.stderr, /the backup is complete, but nothing was expired.*half or more of 3 backups/)
    assert.equal((await labels(site)).length, 3)
  })
})

describe('delete', () => {
  test('removes one backup when the cluster is named, and says what is lost with it', async () => {
    await using scratch = await createScratch('delete')
    await using site = await startUserSite({ major: 15, scratch, walSegmentSizeMb: 1 })
    const [first, second] = [await site.backup(), await site.backup()]

    assert.equal((await site.run('delete', '20200101-000000F', '--confirm', 'main')).code, 6)
    assert.equal((await site.run('pin', '20200101-000000F')).code, 6)
    assert.equal((await site.run('delete', 'nonsense')).code, 2)
    assert.equal((await site.run('delete', first)).code, 5)
    assert.equal((await site.run('delete', first, '--confirm', 'other')).code, 5)
    await site.answer('pin', first)
    const pinned = await site.run('delete', first, '--confirm', 'main')
    assert.deepEqual([pinned.code, /it is pinned\n.*unpin/.test(pinned.stderr)], [5, true])
    assert.match((await site.run('pin', first)).stdout, /is pinned already in repo/)
    assert.match((await site.run('unpin', first)).stdout, /is not pinned in repo/)

    const planned = await site.run('delete', first, '--dry-run')
    assert.match(
      planned.stdout,
      /would delete backup.*\nlost with it: every moment from .* to before .*, on timeline 1/,
    )
    assert.deepEqual(await labels(site), [first, second])
    assert.deepEqual((await site.answer('delete', first, '--confirm', 'main'))['usableBackupsLeft'], 1)
    assert.deepEqual(await labels(site), [second])

    const last = await site.run('delete', second, '--confirm', 'main')
    assert.deepEqual([last.code, /no other backup.*usable\n.*--last/.test(last.stderr)], [5, true])
    await site.answer('delete', second, '--confirm', 'main', '--last')
    assert.deepEqual(await labels(site), [])
    assert.equal((await site.run('expire')).code, 0)
  })
})

async function expire(site: UserSite, ...options: readonly string[]): Promise<ExpireDocument> {
  return (await site.answer('expire', ...options)) as unknown as ExpireDocument
}

async function labels(site: UserSite): Promise<readonly string[]> {
  const info = (await site.answer('info')) as unknown as InfoDocument
  return info.repos[0]?.backups.map(({ label }) => label) ?? []
}

async function checkInfo(
  site: UserSite,
  { pinned, third, fourth }: Readonly<Record<'pinned' | 'third' | 'fourth', string>>,
): Promise<void> {
  const { repos } = (await site.answer('info')) as unknown as InfoDocument
  const [repo] = repos
  assert.ok(repo)
  assert.deepEqual(
    repo.backups.map(({ label, isRestorable, isPinned, walRetention }) => [
      label,
      isRestorable,
      isPinned,
      walRetention,
    ]),
    [
      [pinned, true, true, 'own'],
      [third, true, false, 'onward'],
      [fourth, true, false, 'onward'],
    ],
  )
  assert.deepEqual(
    repo.windows.map(({ oldestBackup, hasGap }) => [oldestBackup, hasGap]),
    [[third, false]],
  )
  assert.deepEqual(repo.wal.timelines[0]?.gaps, [])
  const { stdout } = await site.run('info')
  assert.match(stdout, new RegExp(`${pinned}.* ok, pinned, own WAL only\n`))
  assert.doesNotMatch(stdout, /missing/)
}

/** Appends rules to the configuration, in place of earlier ones. Backups do not expire by them unless that is said. */
async function keep(
  site: UserSite,
  given: Readonly<Record<string, number | string | boolean>>,
): Promise<void> {
  const rules = { 'after-backup': false, ...given }
  const [text = ''] = (await readFile(site.configuration, 'utf8')).split('\nkeep: ')
  await writeFile(site.configuration, `${text}\nkeep: ${JSON.stringify(rules)}\n`)
}

/** From now on the cluster is this server: what was restored takes the place of the original. */
async function follow(site: UserSite, heir: TestServer): Promise<void> {
  const text = await readFile(site.configuration, 'utf8')
  const moved = text
    .replaceAll(site.server.connectionString, heir.connectionString)
    .replaceAll(site.server.dataDirectory, heir.dataDirectory)
  await writeFile(site.configuration, moved)
}

/** What `expire` does, without a day between what it finds and what it deletes. */
async function sweepAtOnce(site: UserSite, scratch: Scratch): Promise<SweepResult['deleted']> {
  const keyFile = join(await scratch.makeFolder(`key-${Date.now()}`), 'key')
  await writeFile(keyFile, await readFile(join(site.folder, 'local.key')), { mode: 0o600 })
  const { configuration } = await loadConfiguration({
    explicitFile: site.configuration,
    environment: { HOLDFAST_REPOS_LOCAL_KEY_FILE: keyFile },
    home: undefined,
  })
  const selection = { configuration, clusterName: undefined, repoName: undefined }
  const { deleted } = await sweep(selection)
  await giveTree(site.repository, scratch.user)
  return deleted
}

async function sweep(selection: ClusterSelection): Promise<SweepResult> {
  const context = testContext()
  await using opened = await openCluster(selection, context)
  return await sweepCluster({ graceMs: 0, isDryRun: false }, opened.repositories[0], context)
}

/** The server archives meanwhile, what it is just storing included. */
const withoutWal = (files: ReadonlyMap<string, number>): readonly (readonly [string, number])[] =>
  [...files].filter(([path]) => !/\/(?:wal|index|\.tmp)\//.test(path))

/** As if this were stored two hours earlier. */
async function age(site: UserSite, folder: string): Promise<void> {
  const before = new Date(Date.now() - 2 * 60 * 60 * 1000)
  for (const path of (await tree(site)).keys()) if (path.includes(folder)) await utimes(path, before, before)
}

/** Every file of the repository with its size. */
async function tree(site: UserSite): Promise<ReadonlyMap<string, number>> {
  const entries = await readdir(site.repository, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return new Map(
    await Promise.all(files.toSorted().map(async (path) => [path, (await stat(path)).size] as const)),
  )
}

import assert from 'node:assert/strict'
import { chmod, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { CopyDocument } from '../src/api/copy-document.ts'
import type { DumpDocument } from '../src/api/dump-document.ts'
import type { InfoDocument } from '../src/api/info-document.ts'
import { clientMajor, installClientPrograms } from './support/client-programs.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { addSecondRepository } from './support/second-repository.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

describe('a dump of a cluster with two repositories', () => {
  let scratch: Scratch
  let site: UserSite
  let programs: string
  let second: string
  before(async () => {
    scratch = await createScratch('dump-copies')
    programs = await installClientPrograms(scratch.folder)
    site = await startUserSite({ major: clientMajor, scratch })
    second = join(site.folder, 'second')
    await addSecondRepository(site, scratch)
    await site.server.query('create database shop')
    await using shop = await site.server.session('shop')
    await shop.query('create table orders as select i, md5(i::text) as text from generate_series(1, 50000) i')
    await shop.query('create index on orders (text)')
  })
  after(async () => {
    await site[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  const run = (...args: readonly string[]): Promise<HoldfastResult> =>
    runHoldfast(args, { config: site.configuration, env: { PATH: `${programs}:/usr/bin:/bin` } })
  const dump = async (...args: readonly string[]): Promise<DumpDocument> => {
    const taken = await run('--output', 'json', ...args, 'dump', '--database', 'shop', '--globals')
    return JSON.parse(expectOk(taken).stdout) as DumpDocument
  }
  const copy = async (...options: readonly string[]): Promise<CopyDocument['repos'][number]> => {
    const { stdout } = expectOk(await run('--output', 'json', 'repo', 'copy', ...options))
    const { repos, failures } = JSON.parse(stdout) as CopyDocument
    assert.deepEqual(failures, [])
    return repos[0] ?? assert.fail()
  }
  const dumpsIn = async (repo: string): Promise<readonly string[]> => {
    const { stdout } = expectOk(await run('--output', 'json', '--repo', repo, 'info'))
    const { repos } = JSON.parse(stdout) as InfoDocument
    return repos.flatMap(({ dumps }) => dumps.map(({ label }) => label))
  }
  const content = async (database: string): Promise<unknown> => {
    await using session = await site.server.session(database)
    const { rows } = await session.query(
      'select count(*)::int, md5(string_agg(text, $$,$$ order by i)), (select count(*)::int from pg_indexes where tablename = $$orders$$) from orders',
    )
    return rows
  }
  /** Loads it out of this repository, and compares. */
  const proveLoad = async (label: string, repo: string): Promise<void> => {
    expectOk(await run('--repo', repo, 'load', label, '--database', 'shop', '--as', 'again', '--create'))
    assert.deepEqual(await content('again'), await content('shop'))
    await site.server.query('drop database again')
  }

  test('is in both, and can be loaded from each', async () => {
    const { dump: taken, copies } = await dump()

    assert.deepEqual(
      copies.map(({ repo, failure }) => [repo, failure]),
      [['second', null]],
    )
    assert.ok(copies.every(({ storedBytes }) => storedBytes > 0))
    assert.match(copies[0]?.location ?? '', /^posix:.*\/second$/)
    for (const repo of ['local', 'second']) await proveLoad(taken.label, repo)
    expectOk(await run('--repo', 'second', 'verify'))
    await rename(site.repository, `${site.repository}-lost`)
    expectOk(await run('load', taken.label, '--globals', '--to-file', join(site.folder, 'roles.sql')))
    await rename(`${site.repository}-lost`, site.repository)
  })

  test('is in one of them when that is asked for', async () => {
    const { dump: taken, copies } = await dump('--repo', 'second')

    assert.deepEqual(copies, [])
    assert.ok((await dumpsIn('second')).includes(taken.label))
    assert.ok(!(await dumpsIn('local')).includes(taken.label))
  })

  test('is complete in the first while the second is gone, says so, and is brought there later', async () => {
    await rename(second, `${second}-gone`)
    const result = await run('--output', 'json', 'dump', '--database', 'shop')
    assert.ok(result.code !== 0 && result.code !== null)
    assert.match(result.stderr, /^warning: repo "second" does not have dump \d{8}-\d{6}L: /m)
    const { dump: taken, copies } = JSON.parse(result.stdout) as DumpDocument
    assert.ok(copies[0]?.repo === 'second' && copies[0].failure !== null)
    await rename(`${second}-gone`, second)

    const planned = await copy('--dry-run')
    assert.deepEqual(planned.dumps, [{ label: taken.label, storedBytes: taken.storedBytes }])
    const { dumps } = await copy()

    assert.deepEqual(
      dumps.map(({ label }) => label),
      [taken.label],
    )
    await proveLoad(taken.label, 'second')
  })

  test('stays away from where it was deleted unless it is asked for', async () => {
    const [label = assert.fail()] = await dumpsIn('local')
    expectOk(await run('--repo', 'second', 'delete', label, '--confirm', 'main'))

    const { dumps, forgotten } = await copy()
    assert.deepEqual([dumps, forgotten], [[], [label]])

    const asked = await copy('--backup', label)
    assert.deepEqual([asked.dumps.map((one) => one.label), asked.backups], [[label], []])
    await proveLoad(label, 'second')
  })

  test('comes into a repository that is new, or is healed there, from the first one', async () => {
    await rm(second, { recursive: true })
    const labels = await dumpsIn('local')
    const { server, folder } = site
    expectOk(
      await site.run(
        'init',
        '--cluster=main',
        `--connection=${server.connectionString}`,
        `--repo=posix:${folder}/second`,
        `--bin-directory=${server.binDirectory}`,
      ),
    )
    // Somebody began anew on purpose.
    expectOk(await run('--repo', 'second', 'repo', 'accept', '--confirm', 'second'))
    assert.deepEqual(
      (await copy()).dumps.map(({ label }) => label),
      labels,
    )
    for (const label of labels) await proveLoad(label, 'second')
    const [newest = assert.fail()] = labels.slice(-1)
    await damage(second, new RegExp(`${newest}/part`))
    assert.equal((await run('--repo', 'second', 'verify')).code, 4)
    assert.equal((await run('--repo', 'second', 'load', newest, '--as', 'again', '--create')).code, 4)

    const { repaired } = await copy('--repair')

    assert.deepEqual(repaired.dumps, [newest])
    expectOk(await run('--repo', 'second', 'verify'))
    await proveLoad(newest, 'second')
  })
})

/** Turns a bit of the first object whose path fits. */
async function damage(repository: string, pattern: RegExp): Promise<void> {
  const entries = await readdir(repository, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const path = paths.toSorted().find((candidate) => pattern.test(candidate)) ?? assert.fail(String(pattern))
  const bytes = await readFile(path)
  bytes[40] = (bytes[40] ?? 0) ^ 1
  await chmod(path, 0o600)
  await writeFile(path, bytes)
}

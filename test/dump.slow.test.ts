import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { DumpDocument } from '../src/api/dump-document.ts'
import { clientMajor, installClientPrograms } from './support/client-programs.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { startHoldfast } from './support/start-holdfast.ts'
import { waitUntil } from './support/wait.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

describe('dump and load', () => {
  let scratch: Scratch
  let site: UserSite
  let programs: string
  before(async () => {
    scratch = await createScratch('dump-life')
    programs = await installClientPrograms(scratch.folder)
    site = await startUserSite({ major: clientMajor, scratch })
    await site.server.query('create role somebody')
    await site.server.query('create database "Shop"')
    await using shop = await site.server.session('Shop')
    await shop.query('create table orders as select i, md5(i::text) as text from generate_series(1, 20000) i')
    await shop.query('create table log as select 1 as v; alter table orders owner to somebody')
  })
  after(async () => {
    await site[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  const run = (...args: readonly string[]): Promise<HoldfastResult> =>
    runHoldfast(args, { config: site.configuration, env: { PATH: `${programs}:/usr/bin:/bin` } })
  const dump = async (...args: readonly string[]): Promise<DumpDocument> =>
    JSON.parse(expectOk(await run('--output', 'json', 'dump', ...args)).stdout) as DumpDocument
  const content = async (database: string): Promise<unknown> => {
    await using session = await site.server.session(database)
    const { rows } = await session.query(
      'select count(*)::int, md5(string_agg(text, $$,$$ order by i)) from orders',
    )
    return rows
  }

  const listed = async (): Promise<readonly string[]> => {
    const { stdout } = expectOk(await run('--output', 'json', 'info'))
    return (JSON.parse(stdout) as { repos: { dumps: { label: string }[] }[] }).repos.flatMap(({ dumps }) =>
      dumps.map(({ label }) => label),
    )
  }

  test('bring a database back under another name, with its owners or without', async () => {
    const { members, facts, ...taken } = await dump('--database', 'Shop')
    const { label } = taken.dump
    assert.match(label, /L$/)
    assert.deepEqual(
      members.map(({ database, format }) => [database, format]),
      [['Shop', 'custom']],
    )
    assert.match(facts['start LSN of database Shop'] ?? '', /^[0-9A-F]+\/[0-9A-F]+$/)

    expectOk(await run('load', label, '--as', 'Shop again', '--create'))
    assert.deepEqual(await content('Shop again'), await content('Shop'))
    const again = await run('load', label, '--as', 'Shop again', '--create')
    assert.equal(again.code, 5)
    const inTheWay = await run('load', label, '--as', 'Shop again')
    assert.equal(inTheWay.code, 1)
    assert.match(inTheWay.stderr, /already exists[^]*hint: Nothing was changed/)

    const refused = await run('load', label, '--as', 'Shop again', '--clean')
    assert.equal(refused.code, 5)
    const clean = ['--clean', '--confirm', 'Shop again', '--no-owner', '--table', 'orders']
    expectOk(await run('load', label, '--as', 'Shop again', ...clean))
    assert.deepEqual(await content('Shop again'), await content('Shop'))
  })

  test('hold all databases and the roles, and give the file that pg_dump wrote', async () => {
    const { members, ...taken } = await dump('--all', '--format', 'plain', '--no-role-passwords')
    const { label } = taken.dump
    assert.ok(members.some(({ kind }) => kind === 'globals'))
    const [roles, shop] = [join(site.folder, 'roles.sql'), join(site.folder, 'shop.sql')]

    expectOk(await run('load', label, '--globals', '--to-file', roles))
    expectOk(await run('load', label, '--database', 'Shop', '--to-file', shop))

    assert.match(await readFile(roles, 'utf8'), /CREATE ROLE somebody;/)
    assert.match(await readFile(shop, 'utf8'), /^COPY public\.orders/m)
    assert.equal((await run('load', label, '--database', 'Shop', '--to-file', shop)).code, 5)
    const unnamed = await run('load', label, '--to-file', join(site.folder, 'x'))
    assert.equal(unnamed.code, 2)
    assert.match(unnamed.stderr, /hint: Name one with --database: .*"Shop"/)
    const part = await run('load', label, '--database', 'Shop', '--as', 'nowhere', '--table', 'log')
    assert.deepEqual([part.code, /expected one of the custom format/.test(part.stderr)], [2, true])
  })

  test('take all databases as of one moment of the past, from a throw-away server', async () => {
    await site.backup('--type=full')
    await using shop = await site.server.session('Shop')
    const [then] = (await shop.query<{ lsn: string }>('select pg_current_wal_insert_lsn() as lsn')).rows
    const asItWas = await content('Shop')
    await shop.query('delete from orders where i > 10')
    await site.switchWal()

    const { facts, ...taken } = await dump('--all', '--at', '--target-lsn', then?.lsn ?? '')
    const { label } = taken.dump

    assert.ok(facts['recovered to LSN'] !== undefined)
    expectOk(await run('load', label, '--database', 'Shop', '--as', 'then', '--create'))
    assert.deepEqual(await content('then'), asItWas)
    assert.notDeepEqual(await content('Shop'), asItWas)
    const alone = await run('dump', '--all', '--target-lsn', then?.lsn ?? '')
    assert.equal(alone.code, 2)
  })

  test('work with several processes at once, which leave no file behind', async () => {
    const spool = join(site.folder, 'spool')
    const jobs = ['--jobs', '2', '--sandbox-directory', spool]
    const { members, ...taken } = await dump('--database', 'Shop', ...jobs)
    const { label } = taken.dump
    assert.deepEqual(
      members.map(({ format }) => format),
      ['directory'],
    )

    expectOk(await run('load', label, '--as', 'with two', '--create', ...jobs))
    expectOk(await run('load', label, '--as', 'with one', '--create', '--sandbox-directory', spool))
    const written = join(site.folder, 'directory')
    expectOk(await run('load', label, '--to-file', written))
    const { dump: custom } = await dump('--database', 'Shop')
    expectOk(await run('load', custom.label, '--as', 'custom with two', '--create', ...jobs))

    for (const database of ['with two', 'with one', 'custom with two'])
      assert.deepEqual(await content(database), await content('Shop'))
    assert.ok((await readdir(written)).includes('toc.dat'))
    assert.deepEqual(await readdir(spool), [])
    const failed = await run('load', label, '--as', 'with two', ...jobs)
    assert.deepEqual([failed.code, /hint: What was loaded before stays/.test(failed.stderr)], [1, true])
    const unfit = await run('dump', '--database', 'Shop', '--format', 'plain', '--jobs', '2')
    assert.deepEqual([unfit.code, /expected the directory format/.test(unfit.stderr)], [2, true])
    const plain = await dump('--database', 'Shop', '--format', 'plain')
    assert.equal((await run('load', plain.dump.label, '--as', 'x', '--create', '--jobs', '2')).code, 2)
  })

  test('are none when they are killed: nothing is listed, nothing is left, and the next one works', async () => {
    const spool = join(site.folder, 'killed')
    await using shop = await site.server.session('Shop')
    await shop.query(
      'create table wide as select i, repeat(md5(i::text), 20) from generate_series(1, 150000) i',
    )
    const earlier = await listed()
    for (const options of [[], ['--jobs', '2', '--sandbox-directory', spool]]) {
      const running = startHoldfast(['dump', '--database', 'Shop', ...options], {
        config: site.configuration,
        env: { PATH: `${programs}:/usr/bin:/bin` },
      })
      await waitUntil('pg_dump to copy rows', async () => {
        const [row] = await site.server.query<{ count: number }>(
          "select count(*)::int as count from pg_stat_activity where application_name = 'pg_dump' and query ~ '^COPY public.wide '",
        )
        return row !== undefined && row.count > 0
      })
      running.kill('SIGKILL')
      await running.ended
    }
    assert.deepEqual(await listed(), earlier)

    const { dump: next } = await dump('--database', 'Shop', '--jobs', '2', '--sandbox-directory', spool)

    assert.deepEqual(await listed(), [...earlier, next.label])
    assert.deepEqual(await readdir(spool), [])
    await shop.query('drop table wide')
  })

  test('say what is wrong, and list nothing that is not whole', async () => {
    const nothing = await run('dump')
    assert.equal(nothing.code, 2)
    const unknown = await run('dump', '--database', 'nowhere')
    assert.deepEqual([unknown.code, /there is no database "nowhere"/.test(unknown.stderr)], [6, true])
    const unmatched = await run('dump', '--database', 'Shop', '--table', 'nowhere')
    assert.deepEqual([unmatched.code, /no matching tables/.test(unmatched.stderr)], [1, true])
    const missing = await run('load', '20200101-000000L')
    assert.equal(missing.code, 6)
  })
})

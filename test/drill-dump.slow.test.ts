import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { DumpDrillDocument } from '../src/api/drill-document.ts'
import type { DumpDetailsDocument, DumpDocument } from '../src/api/dump-document.ts'
import { clientMajor, installClientPrograms } from './support/client-programs.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { processesAround } from './support/live-processes.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { startHoldfast } from './support/start-holdfast.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'
import { waitUntil } from './support/wait.ts'

const counts = ({ databases }: DumpDrillDocument): unknown =>
  databases.map(({ database, tables, rows }) => [database, tables, rows])
const states = ({ checks }: DumpDrillDocument): unknown => checks.map(({ name, state }) => [name, state])
const allPassed = ['roles', 'load', 'tables', 'rows', 'assertions'].map((name) => [name, 'passed'])

describe(`drill --dump, on PostgreSQL ${clientMajor},`, () => {
  let scratch: Scratch
  let site: UserSite
  let programs: string
  let temporary: string
  before(async () => {
    scratch = await createScratch('drill-dump')
    programs = await installClientPrograms(scratch.folder)
    site = await startUserSite({ major: clientMajor, scratch })
    temporary = await scratch.makeFolder('t')
    const place = await scratch.makeFolder(`space-${site.server.port}`)
    await site.server.query(`create tablespace "Side" location '${place}'`)
    await site.server.query('create role somebody; create role "Some One" login')
    await site.server.query('grant somebody to "Some One"; grant create on tablespace "Side" to somebody')
    await site.server.query('create database "Shop"')
    await site.server.query(
      "create database books template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'",
    )
    await using shop = await site.server.session('Shop')
    await shop.query(
      'create table orders as select i, md5(i::text) as text from generate_series(1, 120000) i',
    )
    await shop.query('create table log (v int) tablespace "Side"; insert into log values (1), (2)')
    await shop.query('create table parts (i int) partition by range (i)')
    await shop.query('create table part partition of parts for values from (0) to (1000)')
    await shop.query('insert into parts select generate_series(1, 500)')
    await shop.query('create materialized view few as select i from orders where i < 8')
    await shop.query('alter table orders owner to somebody; grant select on log to "Some One"')
    await shop.query('create policy own on orders to "Some One" using (i < 10)')
    await using books = await site.server.session('books')
    await books.query(
      "create table pages as select '-- Name: x; Type: TABLE; Schema: y' as text, i from generate_series(1, 3000) i",
    )
    await books.query('alter table pages owner to "Some One"')
  })
  after(async () => {
    await site[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  const env = () => ({
    config: site.configuration,
    env: { PATH: `${programs}:/usr/bin:/bin`, TMPDIR: temporary },
  })
  const run = (...args: readonly string[]): Promise<HoldfastResult> => runHoldfast(args, env())
  const dump = async (...args: readonly string[]): Promise<string> =>
    (JSON.parse(expectOk(await run('--output', 'json', 'dump', ...args)).stdout) as DumpDocument).dump.label
  const sandboxes = (): string => join(site.folder, 'sandboxes')
  const place = (): readonly string[] => ['--sandbox-directory', sandboxes()]
  /** What the drill says; it must exit with this code, and leave nothing behind. */
  const drill = async (code: number, ...options: readonly string[]): Promise<DumpDrillDocument> => {
    const result = await run('--output', 'json', 'drill', ...place(), ...options)
    assert.equal(result.code, code, result.stderr + result.stdout)
    for (const folder of [sandboxes(), temporary]) assert.deepEqual(await readdir(folder), [])
    assert.deepEqual(processesAround(sandboxes()), [])
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
    return JSON.parse(result.stdout) as DumpDrillDocument
  }
  const owner = "(select pg_get_userbyid(relowner) from pg_class where oid = 'orders'::regclass)"
  const write = async (name: string, text: string): Promise<string> => {
    const file = join(site.folder, name)
    await writeFile(file, text)
    return file
  }
  const rowsIn = async (database: string, tables: readonly string[]): Promise<number> => {
    await using session = await site.server.session(database)
    const sum = tables.map((table) => `(select count(*) from ${table})`).join(' + ')
    const { rows } = await session.query<{ rows: number }>(`select (${sum})::int as rows`)
    return rows[0]?.rows ?? assert.fail()
  }

  test('proves a dump of all databases with its roles and tablespaces, and counts what is in the source', async () => {
    const label = await dump('--all')
    const assertions = await write(
      'assertions.sql',
      `select count(*) = 120000 from orders;\nselect ${owner} = 'somebody';\n`,
    )

    const proved = await drill(0, '--dump', label, '--sql', assertions, '--database', 'Shop')

    assert.deepEqual([proved.outcome, proved.dump], ['passed', label])
    assert.deepEqual(states(proved), allPassed)
    assert.equal(proved.checks[0]?.message, '3 roles and 1 tablespace')
    assert.deepEqual(
      proved.checks.flatMap(({ findings }) => findings),
      [],
    )
    assert.match(proved.serverVersion ?? '', new RegExp(`^${clientMajor}\\.`))
    assert.deepEqual(counts(proved), [
      ['Shop', 4, await rowsIn('Shop', ['orders', 'log', 'parts', 'few'])],
      ['books', 1, await rowsIn('books', ['pages'])],
      ['postgres', 0, 0],
    ])
    assert.ok(proved.databases.every(({ loadMs, rawBytes }) => loadMs > 0 && rawBytes > 0))
    const details = (await site.answer('info', label)) as unknown as DumpDetailsDocument
    assert.deepEqual({ version: 1, ...details.drill }, proved)
    const { repos } = (await site.answer('info')) as unknown as { repos: readonly { drill: unknown }[] }
    assert.equal(repos[0]?.drill, null, 'it is no restore that was tried')
  })

  test('makes the roles and tablespaces that a dump names and does not hold', async () => {
    const rows = await rowsIn('Shop', ['orders', 'log', 'parts', 'few'])
    for (const format of ['custom', 'plain', 'directory']) {
      const label = await dump('--database', 'Shop', '--format', format, ...place())
      const assertions = await write('owner.sql', `select ${owner} = 'somebody';\n`)

      const proved = await drill(0, '--dump', label, '--sql', assertions)

      assert.deepEqual(states(proved), allPassed)
      const made = proved.checks[0]?.message.replace('the dump holds none; made for it: ', '').split(', ')
      assert.deepEqual(made?.toSorted(), ['Some One', 'somebody', 'tablespace Side'])
      assert.deepEqual(counts(proved), [['Shop', 4, rows]])
    }
  })

  test('fails for an assertion that does not hold', async () => {
    const label = await dump('--database', 'books', '--globals')
    const encoding = "select getdatabaseencoding() = 'LATIN1'"
    const wrong = await write('wrong.sql', `${encoding};\nselect count(*) = 1 from pages;\n`)

    const failed = await drill(4, '--dump', label, '--sql', wrong)

    assert.equal(failed.outcome, 'failed')
    assert.deepEqual(states(failed), [...allPassed.slice(0, 4), ['assertions', 'failed']])
    const text = await run('drill', ...place(), '--dump', label, '--sql', wrong)
    assert.equal(text.code, 4)
    assert.match(text.stdout, /FAILED {5}assertions 1 of 2 do not hold[^]*books +[^]*FAILED: dump/)
  })

  test('fails for a dump with a bit that is not as it was, wherever it is', async () => {
    for (const [name, found] of [
      ['part-000001', ['roles']],
      ['part-000002', ['roles', 'load', 'tables', 'rows', 'assertions']],
      ['head', ['load']],
    ] as const) {
      const label = await dump('--database', 'Shop', '--globals')
      const file = await storedFile(site, `/dump/${label}/${name}`)
      const bytes = await readFile(file)
      const at = bytes.length - 100
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
      await chmod(file, 0o600)
      await writeFile(file, bytes)

      const failed = await drill(4, '--dump', label)

      assert.equal(failed.outcome, 'failed')
      assert.deepEqual(
        failed.checks.map((check) => check.name),
        found,
        name,
      )
      assert.match(
        failed.checks.map(({ message, findings }) => `${message} ${findings.join()}`).join(),
        /seal|damaged/,
      )
    }
  })

  test('proves definitions without rows, and refuses rows without definitions', async () => {
    const definitions = await dump('--database', 'books', '--schema-only')
    const rows = [await dump('--database', 'books', '--data-only')]
    rows.push(await dump('--database', 'books', '--data-only', '--format', 'plain'))
    const empty = await dump('--database', 'postgres')

    const proved = await drill(0, '--dump', definitions)
    const nothing = await drill(1, '--dump', empty)

    assert.deepEqual(counts(proved), [['books', 1, 0]])
    assert.deepEqual(states(nothing), [
      ['roles', 'passed'],
      ['load', 'passed'],
      ['tables', 'not-proven'],
      ['rows', 'not-proven'],
      ['assertions', 'passed'],
    ])
    for (const label of rows) {
      const refused = await run('drill', ...place(), '--dump', label)
      assert.deepEqual(
        [refused.code, /found rows only[^]*hint: .*--data-only/.test(refused.stderr)],
        [2, true],
      )
    }
    const both = await run('drill', '--dump', definitions, '--random')
    const backup = await run('drill', '--dump', '20260220-153000F')
    assert.deepEqual([both.code, backup.code], [2, 2])
  })

  test('leaves nothing behind when it is ended', async () => {
    const label = await dump('--all')
    const drilling = startHoldfast(['drill', ...place(), '--dump', label], env())
    await waitUntil('the server', async () => {
      const [name] = await readdir(sandboxes())
      return name !== undefined && existsSync(join(sandboxes(), name, 'data', 'postmaster.pid'))
    })
    drilling.kill('SIGTERM')

    const { code } = await drilling.ended

    assert.notEqual(code, 0)
    for (const folder of [sandboxes(), temporary]) assert.deepEqual(await readdir(folder), [])
    assert.deepEqual(processesAround(sandboxes()), [])
  })
})

async function storedFile(site: UserSite, end: string): Promise<string> {
  const files = await readdir(site.repository, { recursive: true })
  const file = files.find((name) => name.endsWith(end))
  return join(site.repository, file ?? assert.fail(end))
}

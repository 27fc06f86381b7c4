import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { DumpDocument } from '../src/api/dump-document.ts'
import { clientMajor, installClientPrograms, newestClientMajor } from './support/client-programs.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { startServer, type TestServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

const start = promisify(execFile)

/** What the client programs of 17 and later write asks for a setting that older servers do not know: there it can be read, and not loaded. */
const cases = [
  { from: 14, client: clientMajor, into: 14, isShort: true },
  { from: 15, client: clientMajor, into: 15, isShort: true },
  { from: 16, client: newestClientMajor, into: 18, isShort: true },
  { from: 17, client: newestClientMajor, into: 17, isShort: true },
  { from: 18, client: newestClientMajor, into: 18, isShort: false },
] as const

/** One of each kind of thing that a database has, within reason. */
const shopSql = `
  create schema crm; create type mood as enum ('good', 'bad'); create extension if not exists plpgsql;
  create function twice(i int) returns int language plpgsql immutable as 'begin return 2 * i; end';
  create table orders (id int generated always as identity primary key, text text not null, doubled int generated always as (twice(7)) stored, how mood default 'good');
  insert into orders (text) select md5(i::text) from generate_series(1, 5000) i;
  create table lines (id serial primary key, order_id int references orders (id), price numeric(10, 2) check (price > 0));
  insert into lines (order_id, price) select 1 + i % 5000, i / 7.0 + 1 from generate_series(1, 3000) i;
  create index on lines (order_id) where price > 100;
  create table log_1 as select i, 'one' as text from generate_series(1, 100) i;
  create table log_2 as select i, 'two' as text from generate_series(1, 100) i;
  create table audit (at timestamptz, what jsonb) partition by range (at);
  create table audit_2026 partition of audit for values from ('2026-01-01') to ('2027-01-01');
  insert into audit select '2026-01-01'::timestamptz + i * interval '1 hour', jsonb_build_object('i', i) from generate_series(1, 500) i;
  create table crm.people (name text primary key, photo bytea);
  insert into crm.people select 'p' || i, decode(md5(i::text), 'hex') from generate_series(1, 200) i;
  create view busy as select * from orders where how = 'good';
  create materialized view counted as select count(*) as count from orders;
  create function touch() returns trigger language plpgsql as 'begin return new; end';
  create trigger touched before update on orders for each row execute function touch();
  comment on table orders is 'it''s orders'; grant select on orders to clerk; alter table orders owner to seller;
  alter table orders enable row level security; create policy all_of_them on orders using (true);
  select lo_from_bytea(0, convert_to('large ' || i, 'UTF8')) from generate_series(1, 5) i;
`

/**
 * For each form of the usual guides: how PostgreSQL's own programs bring the database `shop` into an empty one, and how
 * ours do. `%s` is the empty database, `%f` a new file. Both must come to the same.
 */
const forms: readonly Form[] = [
  {
    form: 'a database in the custom format',
    theirs: [
      ['pg_dump', '-Fc', '-f', '%f', 'shop'],
      ['pg_restore', '-d', '%s', '%f'],
    ],
    dump: ['--database', 'shop'],
    load: [],
  },
  {
    form: 'a database as SQL text',
    theirs: [
      ['pg_dump', '-f', '%f', 'shop'],
      ['psql', '-qX', '-d', '%s', '-f', '%f'],
    ],
    dump: ['--database', 'shop', '--format', 'plain'],
    load: [],
  },
  {
    form: 'a database as a directory, with several jobs',
    isShort: true,
    theirs: [
      ['pg_dump', '-Fd', '-j', '2', '-f', '%f', 'shop'],
      ['pg_restore', '-j', '2', '-d', '%s', '%f'],
    ],
    dump: ['--database', 'shop', '--jobs', '2'],
    load: ['--jobs', '2'],
  },
  {
    form: 'tables by name and pattern',
    theirs: [
      ['pg_dump', '-Fc', '-t', 'lines', '-t', 'log_*', '-t', 'orders', '-f', '%f', 'shop'],
      ['pg_restore', '-d', '%s', '%f'],
    ],
    dump: ['--database', 'shop', '--table', 'lines', 'log_*', 'orders'],
    load: [],
    isWithoutFunctions: true,
  },
  {
    form: 'all but some tables',
    theirs: [
      ['pg_dump', '-Fc', '-T', 'log_*', '-f', '%f', 'shop'],
      ['pg_restore', '-d', '%s', '%f'],
    ],
    dump: ['--database', 'shop', '--exclude-table', 'log_*'],
    load: [],
  },
  {
    form: 'a table without its rows',
    theirs: [
      ['pg_dump', '-Fc', '--exclude-table-data=audit_*', '-f', '%f', 'shop'],
      ['pg_restore', '-d', '%s', '%f'],
    ],
    dump: ['--database', 'shop', '--exclude-table-data', 'audit_*'],
    load: [],
  },
  {
    form: 'a schema, and all but one',
    theirs: [
      ['pg_dump', '-Fc', '-n', 'crm', '-f', '%f', 'shop'],
      ['pg_restore', '-d', '%s', '%f'],
    ],
    dump: ['--database', 'shop', '--schema', 'crm'],
    load: [],
  },
  {
    form: 'definitions only',
    theirs: [
      ['pg_dump', '-s', '-f', '%f', 'shop'],
      ['psql', '-qX', '-d', '%s', '-f', '%f'],
    ],
    dump: ['--database', 'shop', '--schema-only', '--format', 'plain'],
    load: [],
  },
  {
    form: 'one table out of a whole dump',
    theirs: [
      ['pg_dump', '-Fc', '-f', '%f', 'shop'],
      ['pg_restore', '-d', '%s', '-t', 'log_1', '%f'],
    ],
    dump: ['--database', 'shop'],
    load: ['--table', 'log_1'],
  },
  {
    form: 'without owners and privileges',
    theirs: [
      ['pg_dump', '-Fc', '-f', '%f', 'shop'],
      ['pg_restore', '-O', '-x', '-d', '%s', '%f'],
    ],
    dump: ['--database', 'shop'],
    load: ['--no-owner', '--no-privileges'],
  },
  {
    form: 'a section',
    theirs: [
      ['pg_dump', '-Fc', '-f', '%f', 'shop'],
      ['pg_restore', '--section=pre-data', '-d', '%s', '%f'],
    ],
    dump: ['--database', 'shop'],
    load: ['--section', 'pre-data'],
  },
]

interface Form {
  readonly form: string
  /** Programs with their arguments, one after the other. */
  readonly theirs: readonly (readonly string[])[]
  readonly dump: readonly string[]
  readonly load: readonly string[]
  /** What tables need besides is made first. */
  readonly isWithoutFunctions?: true
  readonly isShort?: true
}

const neededByTables = `
  create type mood as enum ('good', 'bad');
  create function twice(i int) returns int language plpgsql immutable as 'begin return 2 * i; end';
  create function touch() returns trigger language plpgsql as 'begin return new; end';`

/** Each run has a key of its own, and tells of the versions. */
const withoutHead = (text: string): string =>
  text.replace(/^(?:\\(?:un)?restrict|-- Dumped (?:from|by)) .*$/gm, '')

for (const { from, client, into, isShort } of cases)
  describe(`the usual forms of dumps, of PostgreSQL ${from} into ${into} with the programs of ${client},`, () => {
    let scratch: Scratch
    let site: UserSite
    let target: TestServer
    let programs: string
    let count = 0
    before(async () => {
      scratch = await createScratch(`forms-${from}`)
      programs = await installClientPrograms(scratch.folder, client)
      site = await startUserSite({ major: from, scratch })
      target = from === into ? site.server : await startServer({ major: into, scratch })
      for (const server of new Set([site.server, target]))
        await server.query('create role seller; create role clerk')
      await site.server.query('create database shop')
      await execute(site.server, 'shop', shopSql)
    })
    after(async () => {
      for (const server of new Set([site.server, target])) await server[Symbol.asyncDispose]()
      await scratch[Symbol.asyncDispose]()
    })

    const run = (...args: readonly string[]): Promise<HoldfastResult> =>
      runHoldfast(args, { config: site.configuration, env: { PATH: `${programs}:/usr/bin:/bin` } })
    const dump = async (...args: readonly string[]): Promise<string> =>
      (JSON.parse(expectOk(await run('--output', 'json', 'dump', ...args)).stdout) as DumpDocument).dump.label
    const load = async (label: string, database: string, ...args: readonly string[]): Promise<void> => {
      expectOk(await run('load', label, '--into', target.connectionString, '--as', database, ...args))
    }
    const program = async (server: TestServer, [file = '', ...args]: readonly string[]): Promise<string> => {
      const { user, password } = server.clientConfig
      const env = {
        PATH: '/usr/bin:/bin',
        PGHOST: server.socketDirectory,
        PGPORT: String(server.port),
        PGUSER: String(user),
        PGPASSWORD: String(password),
      }
      const { stdout } = await start(join(programs, file), args, { env, maxBuffer: 1 << 28 })
      return stdout
    }
    const create = async (isWithoutFunctions?: true): Promise<string> => {
      count += 1
      await target.query(`create database "target ${count}"`)
      if (isWithoutFunctions === true) await execute(target, `target ${count}`, neededByTables)
      return `target ${count}`
    }
    /** The catalogue, as pg_dump says it, and the rows of each table and large object. */
    const contentOf = async (server: TestServer, database: string): Promise<unknown> => ({
      // What other majors say of the same catalogue is not the same.
      ...(from === into && { schema: withoutHead(await program(server, ['pg_dump', '-s', database])) }),
      ...(await rowsOf(server, database)),
    })

    for (const { form, theirs, dump: dumpArgs, load: loadArgs, isWithoutFunctions } of forms.filter(
      (one) => !isShort || one.isShort === true,
    ))
      test(`come to the same as with PostgreSQL's own programs: ${form}`, async () => {
        const [one, other] = [await create(isWithoutFunctions), await create(isWithoutFunctions)]
        const file = join(scratch.folder, `theirs-${count}`)
        for (const args of theirs)
          await program(
            args[0] === 'pg_dump' ? site.server : target,
            args.map((arg) => arg.replace('%s', one).replace('%f', file)),
          )

        await load(await dump(...dumpArgs), other, ...loadArgs)

        assert.deepEqual(await contentOf(target, other), await contentOf(target, one))
      })

    if (!isShort)
      test('come to the same as with pg_dumpall: all databases, and the globals alone', async () => {
        const label = await dump('--all', '--format', 'plain')
        const [globals, shop] = [join(scratch.folder, 'globals'), join(scratch.folder, 'shop')]
        expectOk(await run('load', label, '--globals', '--to-file', globals))
        expectOk(await run('load', label, '--database', 'shop', '--to-file', shop))

        const roles = await program(site.server, ['pg_dumpall', '-g', '--database=postgres'])
        assert.equal(withoutHead(await readFile(globals, 'utf8')), withoutHead(roles))
        const rows = await program(site.server, ['pg_dump', 'shop'])
        assert.equal(withoutHead(await readFile(shop, 'utf8')), withoutHead(rows))
      })

    test('come to what was dumped, also in place of what is there, and with the rows by themselves', async () => {
      const expected = await contentOf(site.server, 'shop')
      const whole = await dump('--database', 'shop')
      await load(whole, 'made for it', '--create')
      assert.deepEqual(await contentOf(target, 'made for it'), expected)

      await load(whole, 'made for it', '--clean', '--confirm', 'made for it')
      assert.deepEqual(await contentOf(target, 'made for it'), expected)
      const empty = await create()
      await load(await dump('--database', 'shop', '--schema-only'), empty)
      await load(await dump('--database', 'shop', '--data-only'), empty)
      await execute(target, empty, 'refresh materialized view counted') // rows alone have no views
      assert.deepEqual(await contentOf(target, empty), expected)
    })
  })

async function execute(server: TestServer, database: string, sql: string): Promise<void> {
  await using session = await server.session(database)
  await session.query(sql)
}

async function rowsOf(server: TestServer, database: string): Promise<object> {
  await using session = await server.session(database)
  const { rows: tables } = await session.query<{ name: string }>(
    "select oid::regclass::text as name from pg_class where relkind in ('r', 'm') and relispopulated and relnamespace::regnamespace::text in ('public', 'crm') order by 1",
  )
  const hashes: unknown[] = []
  for (const { name } of tables) {
    const { rows } = await session.query(
      `select count(*)::int, md5(string_agg(md5(t::text), '' order by md5(t::text))) from ${name} t`,
    )
    hashes.push([name, rows])
  }
  const { rows: large } = await session.query(
    "select md5(string_agg(encode(lo_get(oid), 'hex'), ',' order by lo_get(oid))) from pg_largeobject_metadata",
  )
  const { rows: sequences } = await session.query(
    'select schemaname, sequencename, last_value from pg_sequences order by 1, 2',
  )
  return { hashes, large, sequences }
}

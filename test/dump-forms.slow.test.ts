import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { DumpDocument } from '../src/api/dump-document.ts'
import { installClientPrograms, newestClientMajor } from './support/client-programs.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

const start = promisify(execFile)

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
}

const neededByTables = `
  create type mood as enum ('good', 'bad');
  create function twice(i int) returns int language plpgsql immutable as 'begin return 2 * i; end';
  create function touch() returns trigger language plpgsql as 'begin return new; end';`

/** Each run has a key of its own. */
const withoutKey = (text: string): string => text.replace(/^\\(?:un)?restrict .*$/gm, '')

for (const major of [14, 15, 16, 17, 18] as const)
  describe(`the usual forms of dumps, of PostgreSQL ${major}`, () => {
    let scratch: Scratch
    let site: UserSite
    let programs: string
    let count = 0
    before(async () => {
      scratch = await createScratch(`forms-${major}`)
      programs = await installClientPrograms(scratch.folder, newestClientMajor)
      site = await startUserSite({ major, scratch })
      await site.server.query('create role seller; create role clerk')
      await site.server.query('create database shop')
      await execute('shop', shopSql)
    })
    after(async () => {
      await site[Symbol.asyncDispose]()
      await scratch[Symbol.asyncDispose]()
    })

    const run = (...args: readonly string[]): Promise<HoldfastResult> =>
      runHoldfast(args, { config: site.configuration, env: { PATH: `${programs}:/usr/bin:/bin` } })
    const dump = async (...args: readonly string[]): Promise<string> =>
      (JSON.parse(expectOk(await run('--output', 'json', 'dump', ...args)).stdout) as DumpDocument).dump.label
    const program = async ([file = '', ...args]: readonly string[]): Promise<string> => {
      const { user, password } = site.server.clientConfig
      const env = {
        PATH: '/usr/bin:/bin',
        PGHOST: site.server.socketDirectory,
        PGPORT: String(site.server.port),
        PGUSER: String(user),
        PGPASSWORD: String(password),
      }
      const { stdout } = await start(join(programs, file), args, { env, maxBuffer: 1 << 28 })
      return stdout
    }
    const execute = async (database: string, sql: string): Promise<void> => {
      await using session = await site.server.session(database)
      await session.query(sql)
    }
    const create = async (isWithoutFunctions?: true): Promise<string> => {
      count += 1
      await site.server.query(`create database "target ${count}"`)
      if (isWithoutFunctions === true) await execute(`target ${count}`, neededByTables)
      return `target ${count}`
    }
    /** The catalogue, as pg_dump says it, and the rows of each table and large object. */
    const describeDatabase = async (database: string): Promise<unknown> => {
      const schema = await program(['pg_dump', '-s', '--restrict-key=x', database])
      await using session = await site.server.session(database)
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
      return { schema, hashes, large, sequences }
    }

    for (const { form, theirs, dump: dumpArgs, load, isWithoutFunctions } of forms)
      test(`come to the same as with PostgreSQL's own programs: ${form}`, async () => {
        const [one, other] = [await create(isWithoutFunctions), await create(isWithoutFunctions)]
        const file = join(scratch.folder, `theirs-${count}`)
        for (const args of theirs)
          await program(args.map((arg) => arg.replace('%s', one).replace('%f', file)))

        expectOk(await run('load', await dump(...dumpArgs), '--as', other, ...load))

        const [expected, found] = [await describeDatabase(one), await describeDatabase(other)]
        assert.deepEqual(found, expected)
      })

    test('come to the same as with pg_dumpall: all databases, and the globals alone', async () => {
      const label = await dump('--all', '--format', 'plain')
      const [globals, shop] = [join(scratch.folder, 'globals'), join(scratch.folder, 'shop')]
      expectOk(await run('load', label, '--globals', '--to-file', globals))
      expectOk(await run('load', label, '--database', 'shop', '--to-file', shop))

      const theirs = await program(['pg_dumpall', '-g', '--database=postgres'])
      assert.equal(withoutKey(await readFile(globals, 'utf8')), withoutKey(theirs))
      assert.equal(withoutKey(await readFile(shop, 'utf8')), withoutKey(await program(['pg_dump', 'shop'])))
    })

    test('come to the same with rows only, and with what is there dropped first', async () => {
      const target = await create()
      const whole = await dump('--database', 'shop')
      expectOk(await run('load', whole, '--as', target))
      const expected = await describeDatabase('shop')
      assert.deepEqual(await describeDatabase(target), expected)

      expectOk(await run('load', whole, '--as', target, '--clean', '--confirm', target))
      // Large objects have numbers, and are replaced; all else has names.
      assert.deepEqual(await describeDatabase(target), expected)
      const empty = await create()
      expectOk(await run('load', await dump('--database', 'shop', '--schema-only'), '--as', empty))
      const rows = await dump('--database', 'shop', '--data-only', '--exclude-table', 'lines')
      expectOk(await run('load', rows, '--as', empty))
      await using session = await site.server.session(empty)
      const { rows: orders } = await session.query('select count(*)::int as count from orders')
      assert.deepEqual(orders, [{ count: 5000 }])
      const made = await run('load', whole, '--as', 'made for it', '--create')
      expectOk(made)
      assert.deepEqual(await describeDatabase('made for it'), expected)
    })
  })

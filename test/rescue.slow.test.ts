import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, test } from 'node:test'
import { Client } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { FindDocument } from '../src/api/find-document.ts'
import type { RescueDocument } from '../src/api/rescue-document.ts'
import { everydayMajors } from './support/everyday.ts'
import type { TestServer } from './support/postgres-server.ts'
import { createScratch } from './support/scratch.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

for (const major of everydayMajors) {
  describe(`rescue, on PostgreSQL ${major},`, () => {
    test('brings a dropped table back with all that belongs to it, into the running server', async () => {
      await using scratch = await createScratch('rescue')
      await using site = await startUserSite({ major, scratch })
      const { server } = site
      for (const statement of tables) await server.query(statement)
      await site.backup()
      await server.query(`insert into shop."Order" (customer, note) values (2, 'after the backup')`)
      const before = await contents(site, 'shop')
      await server.query('drop table shop."Order" cascade')
      await server.query('delete from shop.customers where id = 2')
      await site.switchWal()

      const options = await momentBefore(site, 'Order')
      const rescued = await rescue(site, '--table', 'Order', ...options)
      const again = await site.run(...rescueArgs(site, '--table', 'shop.Order', ...options))
      const unconfirmed = await site.run(
        ...rescueArgs(site, '--table', 'shop.Order', '--replace', ...options),
      )
      await server.query(`insert into rescued."Order" (customer) values (1)`)
      const after = await contents(site, 'rescued')
      const replaced = await rescue(site, '--table', 'Order', '--replace', '--confirm', 'Order', ...options)
      const replacedRows = (await contents(site, 'rescued')).rows
      const script = join(site.folder, 'order.sql')
      const dumped = await rescue(site, '--table', 'Order', '--to-file', script, ...options)
      const overwriting = await site.run(...rescueArgs(site, '--table', 'Order', '--to-file', script))

      assert.deepEqual(
        rescued.tables.map(({ from, to, rows }) => ({ from, to, rows })),
        [{ from: 'shop.Order', to: 'rescued.Order', rows: '2001' }],
      )
      const broken = rescued.tables.flatMap(({ brokenForeignKeys }) => brokenForeignKeys)
      assert.deepEqual(
        broken.map(({ name }) => name),
        ['Order_customer_fkey'],
      )
      assert.match(broken.map(({ reason }) => reason).join(), /violates foreign key constraint/)
      assert.deepEqual(after.rows.slice(0, -1), before.rows)
      // A recovered server goes on up to 32 behind: SEQ_LOG_VALS in commands/sequence.c.
      assert.match(after.rows.at(-1) ?? '', /^20(?:0[2-9]|[123]\d)\|1\|none\|~none\|0$/)
      assert.deepEqual(after.definition, before.definition)
      await server.query('drop schema rescued cascade')
      await loadScript(server, script)
      assert.equal(dumped.file, script)
      assert.deepEqual((await contents(site, 'rescued')).rows, before.rows)
      assert.deepEqual((await contents(site, 'rescued')).definition, before.definition)
      assert.equal(overwriting.code, 5, overwriting.stderr)
      assert.equal(again.code, 5, again.stderr)
      assert.equal(unconfirmed.code, 5, unconfirmed.stderr)
      assert.equal(replaced.tables[0]?.rows, '2001')
      assert.deepEqual(replacedRows, before.rows)
      assert.deepEqual(await readdir(join(site.folder, 'sandboxes')), [])
    })
  })
}

describe('rescue', () => {
  test('brings values back to the last bit, however the database prints them', async () => {
    await using scratch = await createScratch('rescue')
    await using site = await startUserSite({ major: 17, scratch })
    const { server } = site
    await server.query('create table exact (number float8, span interval)')
    await server.query("insert into exact values (0.1::float8 + 0.2, '-1 day +02:03:04')")
    await server.query('alter database postgres set extra_float_digits = -3')
    await server.query('alter database postgres set "IntervalStyle" = sql_standard')
    await site.backup()
    await server.query('drop table exact')
    await server.query('alter database postgres reset all')
    await site.switchWal()

    await rescue(site, '--table', 'exact', ...(await momentBefore(site, 'exact')))

    const [row] = await server.query(
      `select number = 0.1::float8 + 0.2 as number, span = interval '-1 day +02:03:04' as span from rescued.exact`,
    )
    assert.deepEqual(row, { number: true, span: true })
  })

  test('changes nothing when a table is not there, or its type is not', async () => {
    await using scratch = await createScratch('rescue')
    await using site = await startUserSite({ major: 17, scratch })
    const { server } = site
    await server.query('create type mood as enum ($$good$$)')
    await server.query('create table one (i int)')
    await server.query('create table two (m mood)')
    await site.backup()
    await server.query('drop table two')
    await server.query('drop type mood')
    await site.switchWal()
    const options = await momentBefore(site, 'two')

    const missing = await site.run(...rescueArgs(site, '--table', 'one', '--table', 'three', ...options))
    const typeless = await site.run(...rescueArgs(site, '--table', 'one', '--table', 'two', ...options))

    assert.equal(missing.code, 6, missing.stderr)
    assert.match(missing.stderr, /"three": there was none at that moment/)
    assert.notEqual(typeless.code, 0)
    assert.match(typeless.stderr, /type "public.mood" does not exist/)
    assert.deepEqual(await server.query("select from pg_namespace where nspname = 'rescued'"), [])
  })
})

const tables = [
  'create schema shop',
  'create table shop.customers (id int primary key)',
  'insert into shop.customers values (1), (2)',
  `create table shop."Order" (
     id bigserial primary key,
     customer int not null references shop.customers,
     note varchar(20) collate "C" default 'none' check (note <> ''),
     "shout it" text generated always as ('~' || note) stored,
     "number" int generated by default as identity (start with 5 increment by 5),
     unique (customer, id))`,
  `create index "Order by note" on shop."Order" using btree (lower(note), "shout it") where customer > 0`,
  `comment on table shop."Order" is 'it''s a \\ backslash'`,
  `comment on column shop."Order".note is 'a note'`,
  `insert into shop."Order" (customer, note) select 1 + g % 2, 'note ' || g from generate_series(1, 2000) g`,
]

async function contents(site: UserSite, schema: string) {
  const rows = await site.server.query<{ row: string }>(
    `select concat_ws('|', id, customer, note, "shout it", case when id <= 2001 then "number" else 0 end) as row
       from ${schema}."Order" order by id`,
  )
  const definition = await site.server.query(
    `select a.attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attcollation,
            replace(pg_get_expr(adbin, adrelid), 'pg_catalog.', '') ~ 'nextval' as counts, col_description(attrelid, attnum) as comment
       from pg_attribute a left join pg_attrdef on adrelid = attrelid and adnum = attnum
      where attrelid = '${schema}."Order"'::regclass and attnum > 0 order by attnum`,
  )
  const constraints = await site.server.query(
    `select conname, pg_get_constraintdef(oid) as definition from pg_constraint
      where conrelid = '${schema}."Order"'::regclass and contype in ('p', 'u', 'c') order by 1`,
  )
  const indexes = await site.server.query(
    `select replace(pg_get_indexdef(indexrelid), '${schema}.', '') as definition,
            obj_description('${schema}."Order"'::regclass) as comment
       from pg_index where indrelid = '${schema}."Order"'::regclass order by 1`,
  )
  return { rows: rows.map(({ row }) => row), definition: { definition, constraints, indexes } }
}

async function momentBefore(site: UserSite, table: string): Promise<readonly string[]> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  const { transactions } = (await site.answer('find', '--table', table)) as unknown as FindDocument
  return transactions[0]?.restore?.options ?? assert.fail(`nothing leads to before ${table} was dropped`)
}

/** As psql does. The last statements are foreign keys, which do not hold any more. */
async function loadScript(server: TestServer, file: string): Promise<void> {
  const script = (await readFile(file, 'utf8')).replaceAll(/^\\set .*\n/gm, '')
  const [transaction = '', foreignKeys = ''] = script.split(/(?<=^commit;\n)/m)
  const client = new Client(server.clientConfig)
  await client.connect()
  for (const part of transaction.split(/(?<=^\\\.\n)/m)) {
    const [, statements = part, copy, rows = ''] =
      /^(.*?)(copy [^\n]* from stdin);\n(.*)\\\.\n$/s.exec(part) ?? []
    await client.query(statements)
    if (copy !== undefined) await pipeline(Readable.from([rows]), client.query(copyFrom(copy)))
  }
  await assert.rejects(client.query(foreignKeys), /violates foreign key constraint/)
  await client.end()
}

const rescueArgs = ({ folder }: UserSite, ...args: readonly string[]): readonly string[] => [
  'rescue',
  '--sandbox-directory',
  join(folder, 'sandboxes'),
  ...args,
]

async function rescue(site: UserSite, ...args: readonly string[]): Promise<RescueDocument> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  return (await site.answer(...rescueArgs(site, ...args))) as unknown as RescueDocument
}

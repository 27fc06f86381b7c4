import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FindDocument } from '../src/api/find-document.ts'
import { foundText } from './support/found-text.ts'
import { fullCheck } from './support/full-check.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { createScratch } from './support/scratch.ts'
import { supportedMajors } from './support/server-binaries.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

for (const major of supportedMajors) {
  describe(`find, after a bad night on PostgreSQL ${major},`, () => {
    test('tells every accident with its name and its rows, and no rewrite, and leads to the moment before', async () => {
      await using scratch = await createScratch('find')
      // Names are in pages, too, which may be compressed in the WAL.
      const settings = {
        max_prepared_transactions: 5,
        wal_compression: major % 2 === 0 ? 'on' : 'off',
        wal_level: major > 16 ? 'logical' : 'replica',
      }
      await using site = await startUserSite({ major, scratch, settings })
      const { server } = site
      await prepareLedger(server)
      await server.query('create database shop')
      await inShop(site, ...tables)
      await using ledger = await startLedger(server, { ratePerSecond: 100 })
      await site.backup()
      await ledger.advance(20)
      await ledger.pause()
      const before = ledger.expected()
      await inShop(
        site,
        'begin',
        'drop table orders',
        async () => {
          ledger.resume()
          await ledger.advance(20)
        },
        'commit',
      )
      await inShop(site, ...otherAccidents, ...noAccidents)
      await server.query('drop database shop')
      await ledger.advance(5)
      await ledger.stop()
      await site.switchWal()

      const { transactions, searched } = await find(site)

      assert.deepEqual(transactions.map(foundText).toReversed(), expected)
      assert.deepEqual(searched.holes, [])
      const all = await find(site, '--kind', 'rewrite')
      assert.deepEqual(all.transactions.map(foundText).toReversed(), [
        'rewritten shop.public.kept',
        'rewritten shop.public.kept',
        'rewritten shop.public.kept',
        'rewritten shop.public.sums',
        // An index that got its file from another one, which no list of names knows.
        'rewritten shop',
      ])
      const dropped = transactions.at(-1) ?? assert.fail()
      await using restored = await site.restore('before', ...(dropped.restore?.options ?? []))
      await using session = await restored.session('shop')
      const { rows } = await session.query<{ count: number }>('select count(*)::int as count from orders')
      assert.deepEqual(rows, [{ count: 4000 }])
      assert.ok((dropped.commitsMeanwhile ?? 0) >= 20, String(dropped.commitsMeanwhile))
      await fullCheck(restored, { expected: before, exact: true })
      // A database is marked as going before the transaction that drops it begins; then it lets nobody in.
      await using undropped = await site.restore('undropped', ...(transactions[0]?.restore?.options ?? []))
      await using shop = await undropped.session('shop')
      assert.deepEqual((await shop.query('select count(*)::int as count from prices')).rows, [
        { count: 1500 },
      ])
    })
  })
}

const tables = [
  'create table orders (id int primary key, note text)',
  "insert into orders select g, 'order' from generate_series(1, 4000) g",
  'create table events (id int, note text)',
  "insert into events select g, 'event' from generate_series(1, 3000) g",
  'create table people (id int primary key, name text)',
  "insert into people select g, 'name' from generate_series(1, 2500) g",
  'create table prices (id int primary key, price int)',
  'insert into prices select g, g from generate_series(1, 1500) g',
  'create schema old',
  'create table old.a (id int primary key, note text)',
  'create table old.b (id int)',
  'create table kept (id int primary key, note text)',
  "insert into kept select g, 'kept' from generate_series(1, 500) g",
  'create materialized view sums as select count(*) as n, max(note) as note from kept',
]

const otherAccidents = [
  'truncate events',
  // In many subtransactions, none of which deletes much.
  `do $$ begin
     for i in 1..50 loop
       begin
         delete from people where id % 50 = i - 1;
       exception when division_by_zero then null;
       end;
     end loop;
   end $$`,
  'begin',
  'update prices set price = 0',
  "prepare transaction 'sale'",
  "commit prepared 'sale'",
  'drop schema old cascade',
  'insert into events values (1, null)',
  'drop table events',
  // Made after names were stored, with a backup: what these were called is in the WAL only.
  'create schema fresh',
  'create table fresh.made (id int primary key, note text)',
  "insert into fresh.made select g, 'made' from generate_series(1, 700) g",
  'delete from fresh.made where id <= 600',
  'truncate fresh.made',
  'insert into fresh.made values (1)',
  'drop schema fresh cascade',
]

const noAccidents = [
  'vacuum full kept',
  'cluster kept using kept_pkey',
  'alter table kept alter column id type bigint',
  'refresh materialized view sums',
  'reindex table kept',
  'begin',
  'delete from kept',
  'rollback',
  'delete from kept where id < 50',
  'create temp table scratch as select * from kept',
  'drop table scratch',
  'create table passing (id int)',
  'insert into passing select generate_series(1, 1000)',
]

const expected = [
  'dropped shop.public.orders',
  'truncated shop.public.events',
  'deleted 2500 shop.public.people',
  'updated 1500 shop.public.prices',
  'dropped shop.old.a, dropped shop.old.b',
  // It had other files than when the backup was taken.
  'dropped shop.public.events',
  'deleted 600 shop.fresh.made',
  'truncated shop.fresh.made',
  'dropped shop.fresh.made',
  'database-dropped shop',
]

async function inShop(site: UserSite, ...steps: readonly (string | (() => Promise<void>))[]): Promise<void> {
  await using session = await site.server.session('shop')
  for (const step of steps) await (typeof step === 'string' ? session.query(step) : step())
}

async function find(site: UserSite, ...options: readonly string[]): Promise<FindDocument> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  return (await site.answer('find', ...options)) as unknown as FindDocument
}

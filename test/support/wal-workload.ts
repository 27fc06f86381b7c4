import type { TestServer } from './postgres-server.ts'

/** Tables, databases and a tablespace that are there before the workload, so that it changes what exists. */
export async function prepareWorkload(server: TestServer, tablespaceFolder: string): Promise<void> {
  await runEach(server, [
    `create tablespace place location '${tablespaceFolder}'`,
    'create extension bloom',
    'create table t (i int primary key, s text, a int[], p point, b int)',
    `insert into t select g, repeat(md5(g::text), 3), array[g, g % 7], point(g % 97, g % 11), g % 13
       from generate_series(1, 4000) g`,
    'create index t_hash on t using hash (s)',
    'create index t_gin on t using gin (a)',
    'create index t_gist on t using gist (p)',
    'create index t_spgist on t using spgist (p)',
    'create index t_brin on t using brin (i) with (pages_per_range = 2)',
    'create index t_bloom on t using bloom (b, i)',
    'create table cut as select g as i, repeat(md5(g::text), 10) as s from generate_series(1, 3000) g',
    'create table moving as select g as i, md5(g::text) as s from generate_series(1, 3000) g',
    'create index moving_i on moving (i)',
    'create table emptied as select g as i from generate_series(1, 3000) g',
    'create table gone as select g as i from generate_series(1, 3000) g',
    'create table copied_into (i int)',
    'create table sub (i int)',
    'create table counted (i int primary key, s text)',
    'create sequence q',
    `select lo_from_bytea(4711, convert_to(repeat('large ', 5000), 'UTF8'))`,
    'create database dropped_later',
    'create database moved_later',
  ])
}

/** Something of every access method and of whatever makes, moves, cuts and drops files. */
export async function runWorkload(server: TestServer): Promise<void> {
  await runEach(server, rowStatements)
  await runEach(server, transactionStatements)
  await shareLock(server)
  await runEach(server, fileStatements)
  const logged = server.major === 14 ? [''] : [' strategy file_copy', ' strategy wal_log']
  await runEach(
    server,
    logged.map((strategy, index) => `create database made${index}${strategy}`),
  )
}

/** After a crash. */
export async function runMoreWorkload(server: TestServer): Promise<void> {
  await runEach(server, [
    'insert into cut select g, md5(g::text) from generate_series(1, 2000) g',
    `update t set b = b + 1, s = s || 'x' where i % 2 = 0`,
    'delete from t where i % 11 = 0',
    'vacuum (freeze) t',
    'insert into t select g, md5(g::text), array[g], point(g, g), g from generate_series(20001, 22000) g',
    `select nextval('q') from generate_series(1, 50)`,
    'reindex table moving',
    'create table late as select g as i from generate_series(1, 5000) g',
  ])
}

const rowStatements: readonly string[] = [
  `update t set s = s || i, p = point(i % 31, 5) where i % 3 = 0`,
  'delete from t where i % 5 = 0',
  `insert into t select g, md5(g::text), array[g, g % 9], point(g % 89, g), g
     from generate_series(5001, 9000) g`,
  'vacuum t',
  `insert into t select g, 'again', array[g], point(1, 1), 1 from generate_series(3990, 4010) g
     on conflict (i) do update set b = 77`,
  'checkpoint',
  'delete from t where i > 8000 or a @> array[3]',
  'vacuum t',
  `insert into t select g, md5(g::text), array[g % 5], point(g, g), g from generate_series(10001, 11000) g`,
  `select brin_summarize_new_values('t_brin')`,
  `copy copied_into from program 'seq 1 3000'`,
  `select nextval('q') from generate_series(1, 100)`,
  `select setval('q', 10000)`,
  `select lo_put(4711, 9000, 'changed')`,
  `select lo_from_bytea(0, 'another')`,
  'select lo_unlink(4711)',
  `select pg_logical_emit_message(true, 'm', repeat('wide ', 9000))`,
  `select pg_logical_emit_message(false, 'm', 'not transactional')`,
  'analyze t',
]

const transactionStatements: readonly string[] = [
  `begin;
   insert into counted select g, 'a' from generate_series(1, 30) g;
   update counted set s = 'b' where i <= 10;
   delete from counted where i > 25;
   insert into counted values (1, 'c') on conflict (i) do nothing;
   insert into counted values (99, 'c') on conflict (i) do nothing;
   commit`,
  `begin; insert into sub values (1); savepoint a; insert into sub values (2); rollback to a;
   savepoint b; delete from sub; release b; commit`,
  `do $$ begin
     for k in 1..100 loop begin insert into sub values (k); exception when others then null; end; end loop;
   end $$`,
  `begin; create table undone as select g as i from generate_series(1, 500) g; truncate emptied; rollback`,
  `begin; savepoint a; create table kept (i int); insert into kept values (1); prepare transaction 'one'`,
  `begin; create table lost (i int); insert into lost values (1); prepare transaction 'two'`,
  `begin; savepoint a; drop table gone; release a; prepare transaction 'three'`,
  `commit prepared 'one'`,
  `rollback prepared 'two'`,
  `commit prepared 'three'`,
  `begin; select from t where i < 200 for update; rollback`,
]

const fileStatements: readonly string[] = [
  'truncate emptied',
  'insert into emptied values (1)',
  'delete from cut where i > 1000',
  'vacuum cut',
  'select pg_switch_wal()',
  'insert into cut select g, md5(g::text) from generate_series(1, 100) g',
  'alter table moving set tablespace place',
  'alter index moving_i set tablespace place',
  `select pg_create_restore_point('half')`,
  'cluster moving using moving_i',
  'vacuum full sub',
  'reindex index t_hash',
  'alter table counted add column c int default random() * 100',
  'drop database dropped_later',
  'alter database moved_later set tablespace place',
]

/** Two transactions that lock the same rows make a MultiXact. */
async function shareLock(server: TestServer): Promise<void> {
  await using one = await server.session()
  await using other = await server.session()
  const lock = 'begin; select from t where i between 6000 and 6050 for share'
  await one.query(lock)
  await other.query(lock)
  await one.query('commit')
  await other.query('commit')
}

async function runEach(server: TestServer, statements: readonly string[]): Promise<void> {
  await using session = await server.session()
  for (const statement of statements) await session.query(statement)
}

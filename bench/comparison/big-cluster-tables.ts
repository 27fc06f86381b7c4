/** A value that looks random and is the same in every build. */
const digest = (seed: string): string => `md5(${seed} || i)`

const accounts = [
  'create table accounts (aid int not null, bid int not null, abalance int not null, filler char(84) not null)',
  `insert into accounts select i, (i - 1) / 100000 + 1, (i::bigint * 7919) % 200003 - 100000, ''
   from generate_series(1, 8000000) i`,
  'alter table accounts add primary key (aid)',
]

const orders = [
  `create table orders (id int not null, reference text not null, customer int not null, amount numeric(12, 2) not null,
   placed_at timestamptz not null, email text not null, note text not null)`,
  `insert into orders select i, ${digest("'order'")}, (i::bigint * 104729) % 400009, (i::bigint * 7919 % 10000019) / 100.0,
   timestamptz '2024-01-01 00:00:00+00' + i * interval '17 seconds',
   'user' || (i::bigint * 104729) % 400009 || '@example.com',
   'Order ' || i || ' for customer ' || (i::bigint * 104729) % 400009 || ', ref ' || ${digest("'note'")}
   from generate_series(1, 5230000) i`,
  'alter table orders add primary key (id)',
  'create index on orders (reference)',
]

const documents = [
  'create table documents (id int not null, body jsonb not null)',
  `insert into documents select i, jsonb_build_object(
     'id', i, 'session', ${digest("'session'")}, 'device', ${digest("'device' || i % 5000 || '-'")},
     'kind', (array['view', 'click', 'buy', 'search', 'leave'])[i % 5 + 1], 'score', (i::bigint * 7919 % 100003) / 7.0,
     'at', timestamp '2025-01-01' + i * interval '3 seconds', 'agent', 'Mozilla/5.0 (X11; Linux x86_64) rv:' || i % 140,
     'path', '/shop/' || i % 977 || '/item/' || i % 40009, 'tags', jsonb_build_array(i % 7, i % 31, 'tag' || i % 97),
     'address', jsonb_build_object('street', 'Street ' || i % 9973, 'zip', i % 99999, 'city', 'City ' || i % 613))
   from generate_series(1, 2000000) i`,
  'alter table documents add primary key (id)',
]

/** Nothing shrinks these: digests of counters, kept as they are. */
const attachments = [
  'create table attachments (id int not null, content bytea not null)',
  'alter table attachments alter content set storage external',
  `insert into attachments
   select i, (select string_agg(sha256((i::bigint * 60 + j)::text::bytea), ''::bytea) from generate_series(1, 60) j)
   from generate_series(1, 230000) i`,
  'alter table attachments add primary key (id)',
]

/** The statements that make each table and fill it. */
export const bigTables: readonly (readonly string[])[] = [accounts, orders, documents, attachments]

export const smallTableCount = 1850
export const smallTablesPerTransaction = 50

/** Makes the tables from number `first` on: each with a few rows and two indexes, three files together. */
export function smallTables(first: number): string {
  return `do $$ begin
    for n in ${first}..${first + smallTablesPerTransaction - 1} loop
      execute format('create table small_%s (id int not null, code varchar(40) not null, value int not null)', n);
      execute format('insert into small_%s select i, md5(%L || i), i * %s from generate_series(1, %s) i',
        n, n || '-', n, 20 + n % 200);
      execute format('alter table small_%s add primary key (id)', n);
      execute format('create index on small_%s (code)', n);
    end loop;
  end $$`
}

const changed = [
  ['accounts', 'abalance'],
  ['orders', 'customer'],
  ['documents', 'id'],
  ['attachments', 'id'],
] as const

/** Changes a row in about this share of the blocks of the big tables, whichever rows are in them by now. New versions go where there is room. */
export function changeBlocks(share: number): readonly string[] {
  return changed.map(
    ([table, column]) =>
      `update ${table} set ${column} = ${column} where random() < ${share} * (
        select relpages / reltuples from pg_class where oid = '${table}'::regclass)`,
  )
}

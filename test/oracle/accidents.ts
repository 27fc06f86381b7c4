/** What went wrong in one night, what `find` must say of it, and what must be there the moment before. */
export interface Accident {
  readonly database: string
  readonly statement: string
  readonly found: string
  readonly count: { readonly database: string; readonly sql: string; readonly rows: number }
  /** A table that can be brought back into the server; none when its database is gone. */
  readonly rescue?: string
}

const rowsOf = (from: string, rows: number, database = 'shop') => ({
  database,
  sql: `select count(*)::int as count from ${from}`,
  rows,
})

export const accidents: readonly Accident[] = [
  {
    database: 'shop',
    statement: 'drop table orders',
    found: 'dropped shop.public.orders',
    count: rowsOf('orders', 40_000),
    rescue: 'shop.public.orders',
  },
  {
    database: 'shop',
    statement: 'truncate events',
    found: 'truncated shop.public.events',
    count: rowsOf('events', 30_000),
    rescue: 'shop.public.events',
  },
  {
    database: 'shop',
    statement: 'delete from people',
    found: 'deleted 25000 shop.public.people',
    count: rowsOf('people', 25_000),
    rescue: 'shop.public.people',
  },
  {
    database: 'shop',
    statement: 'drop schema old cascade',
    found: 'dropped shop.old.a, dropped shop.old.b',
    count: rowsOf('old.a', 20_000),
    rescue: 'shop.old.a',
  },
  {
    database: 'shop',
    statement: 'update prices set price = 0',
    found: 'updated 15000 shop.public.prices',
    count: rowsOf('prices where price > 0', 15_000),
    rescue: 'shop.public.prices',
  },
  {
    database: 'postgres',
    statement: 'drop database attic',
    found: 'database-dropped attic',
    count: rowsOf('kept', 10_000, 'attic'),
  },
]

/** What there is before, by database. */
export const damagedTables: Readonly<Record<string, readonly string[]>> = {
  shop: [
    table('orders', 40_000),
    table('events', 30_000),
    table('people', 25_000),
    'create schema old',
    table('old.a', 20_000),
    table('old.b', 100),
    'create table prices (id int primary key, price int)',
    'insert into prices select g, g from generate_series(1, 15000) g',
  ],
  attic: [table('kept', 10_000)],
}

function table(name: string, rows: number): string {
  return `create table ${name} (id int primary key, note text);
          insert into ${name} select g, md5(g::text) from generate_series(1, ${rows}) g`
}

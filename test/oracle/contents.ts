import assert from 'node:assert/strict'
import type { TestServer } from '../support/postgres-server.ts'
import type { Session } from '../support/server-session.ts'
import { indexMethods, type IndexMethod } from './world.ts'

/** One line for each logged table, for the large objects and for the sequences of each database, by what is in them. */
export async function contentsOf(server: TestServer): Promise<ReadonlyMap<string, string>> {
  const contents = new Map<string, string>()
  for (const { name } of await server.query<{ name: string }>(
    'select datname as name from pg_database where datallowconn order by datname',
  )) {
    await using session = await server.session(name)
    const tables = await relationsOf(session, ['r', 'm'])
    for (const table of tables) contents.set(`${name}: ${table}`, await digest(session, table))
    contents.set(`${name}: large objects`, await digestLargeObjects(session))
    for (const sequence of await relationsOf(session, ['S']))
      contents.set(`${name}: sequence ${sequence}`, await lastValue(session, sequence))
  }
  return contents
}

/** Recovery may leave a sequence ahead of where it was (SEQ_LOG_VALS in commands/sequence.c), everything else as it was. */
export function assertSameContents(
  found: ReadonlyMap<string, string>,
  expected: ReadonlyMap<string, string>,
): void {
  assert.ok(expected.size > 0)
  assert.deepEqual([...found.keys()], [...expected.keys()])
  assert.deepEqual(withoutSequences(found), withoutSequences(expected))
  for (const [name, value] of expected)
    if (name.includes(': sequence '))
      assert.ok(Math.abs(Number(found.get(name)) - Number(value)) <= 200, name)
}

const withoutSequences = (all: ReadonlyMap<string, string>): Record<string, string> =>
  Object.fromEntries([...all].filter(([name]) => !name.includes(': sequence ')))

const questions: Readonly<Record<IndexMethod, string | undefined>> = {
  // `fullCheck` looks for each row in those.
  btree: undefined,
  hash: 'region = r.region',
  bloom: 'region = r.region',
  gin: 'tags && array[0, 1, 2, 3, 4]',
  gist: 'place <@ box(point(-1e9, -1e9), point(1e9, 1e9))',
  spgist: 'place <@ box(point(-1e9, -1e9), point(1e9, 1e9))',
  brin: 'id > -1000000000',
}

/** Finds the same number of rows by each index as by reading the table. Gives the number of indexes. */
export async function checkIndexes(server: TestServer): Promise<number> {
  await using session = await server.session()
  const { rows: indexes } = await session.query<{ table: string; index: string; method: string }>(
    `select i.indrelid::regclass::text as table, c.relname as index, a.amname as method
       from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
       join pg_class t on t.oid = i.indrelid
      where c.relnamespace = 'public'::regnamespace and i.indisvalid and t.relpersistence = 'p'`,
  )
  for (const method of indexMethods) {
    const condition = questions[method]
    if (condition === undefined) continue
    for (const { table, index } of indexes.filter((candidate) => candidate.method === method)) {
      const count = `select count(*) from generate_series(0, ${condition.includes('r.') ? 16 : 0}) r(region),
                       lateral (select from ${table} t where t.${condition} offset 0) found`
      await compareWays(session, { table, index }, count)
    }
  }
  return indexes.length
}

/** The other indexes of the table are dropped for it, in a transaction that is rolled back. */
async function compareWays(
  session: Session,
  { table, index }: { readonly table: string; readonly index: string },
  count: string,
): Promise<void> {
  const ask = async (): Promise<string | undefined> =>
    (await session.query<{ count: string }>(count)).rows[0]?.count
  await session.query(
    `begin; set local max_parallel_workers_per_gather = 0;
     do $$ declare other text; begin
       for other in select indexrelid::regclass from pg_index
                     where indrelid = '${table}'::regclass and indexrelid <> '${index}'::regclass
       loop execute 'drop index ' || other; end loop; end $$;
     set local enable_indexscan = off; set local enable_bitmapscan = off; set local enable_indexonlyscan = off`,
  )
  const byTable = await ask()
  await session.query(
    'set local enable_seqscan = off; set local enable_indexscan = on; set local enable_bitmapscan = on',
  )
  const { rows: plan } = await session.query<{ 'QUERY PLAN': string }>(`explain ${count}`)
  const byIndex = await ask()
  await session.query('rollback')
  assert.ok(
    plan.some((row) => row['QUERY PLAN'].includes(index)),
    `index ${index} was not used`,
  )
  assert.equal(byIndex, byTable, `rows of ${table} by index ${index}, and by the table`)
}

async function relationsOf(session: Session, kinds: readonly string[]): Promise<readonly string[]> {
  const { rows } = await session.query<{ name: string }>(
    `select oid::regclass::text as name from pg_class
      where relkind = any($1::text[]::"char"[]) and relpersistence = 'p' and relnamespace = 'public'::regnamespace
      order by 1`,
    [kinds],
  )
  return rows.map(({ name }) => name)
}

async function digest(session: Session, table: string): Promise<string> {
  const { rows } = await session.query<{ digest: string }>(
    `select count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)), 0) as digest from ${table} t`,
  )
  return rows[0]?.digest ?? ''
}

async function digestLargeObjects(session: Session): Promise<string> {
  const { rows } = await session.query<{ digest: string }>(
    `select count(*) || ' objects, ' || coalesce(sum(hashtextextended(oid::text || md5(lo_get(oid)), 0)), 0) as digest
       from pg_largeobject_metadata`,
  )
  return rows[0]?.digest ?? ''
}

async function lastValue(session: Session, sequence: string): Promise<string> {
  const { rows } = await session.query<{ value: string }>(`select last_value::text as value from ${sequence}`)
  return rows[0]?.value ?? ''
}

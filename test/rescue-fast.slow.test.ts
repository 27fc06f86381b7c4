import assert from 'node:assert/strict'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { RescueDocument } from '../src/api/rescue-document.ts'
import { everydayMajors } from './support/everyday.ts'
import { killServerIn } from './support/live-processes.ts'
import type { TestServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { startHoldfast } from './support/start-holdfast.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'
import { waitUntil } from './support/wait.ts'

for (const major of everydayMajors) {
  // Without checksums and without hints in the WAL, records come for pages that no image of them came before.
  const checksums = major % 3 !== 0
  describe(`rescue --fast, on PostgreSQL ${major} with checksums ${checksums ? 'on' : 'off'},`, () => {
    test('brings the same rows as a whole restore, whatever befell other tables', async () => {
      await using scratch = await createScratch('rescue-fast')
      await using site = await startUserSite({ major, scratch, checksums })
      await makeTables(site.server, scratch)
      await site.backup()
      await change(site.server)
      const before = await contents(site.server, 'public')
      const target = await mark(site)
      await site.server.query('drop table orders, notes, packed, refilled, parted cascade')
      await site.switchWal()

      const fast = await rescue(site, wanted, ...target, '--fast', '--as', 'fast')
      const whole = await rescue(site, wanted, ...target, '--as', 'whole')

      assert.equal(fast.fast?.reason, null)
      assert.equal(fast.fast.used, true)
      assert.ok(fast.fast.leftOutBytes > 10_000_000, JSON.stringify(fast.fast))
      assert.equal(whole.fast, null)
      assert.deepEqual(
        fast.tables.map(({ rows }) => rows),
        whole.tables.map(({ rows }) => rows),
      )
      assert.deepEqual(await contents(site.server, 'fast'), before)
      assert.deepEqual(await contents(site.server, 'whole'), before)
      assert.deepEqual(await readdir(join(site.folder, 'sandboxes')), [])
    })
  })
}

describe('rescue --fast', () => {
  test('restores everything when what the backup knows does not suffice, and says why', async () => {
    await using scratch = await createScratch('rescue-fast')
    await using site = await startUserSite({ major: 17, scratch })
    const { server } = site
    for (const table of ['orders', 'swapped'])
      await run(server, [`create table ${table} (${columns})`, `insert into ${table} ${rows(1, 2000)}`])
    await run(server, [
      `create table parted (${columns}) partition by range (id)`,
      'create table part partition of parted for values from (0) to (10000)',
      `insert into parted ${rows(1, 2500)}`,
      `create table stray (${columns})`,
      `insert into stray ${rows(10_001, 10_500)}`,
    ])
    await site.backup()
    await run(server, [
      `create table later as ${rows(1, 1500)}`,
      'alter table parted attach partition stray for values from (10000) to (20000)',
      'alter table orders rename to passing',
      'alter table swapped rename to orders',
      'insert into orders select * from orders limit 77',
    ])
    const target = await mark(site)
    await site.switchWal()

    const answers = []
    for (const table of ['later', 'orders', 'parted', 'part']) {
      const { tables, fast } = await rescue(site, [table], ...target, '--fast')
      answers.push({ table, rows: tables[0]?.rows, used: fast?.used, reason: fast?.reason })
    }
    const missing = await site.run(...rescueArgs(site, ['swapped'], ...target, '--fast'))

    assert.deepEqual(answers, [
      { table: 'later', rows: '1500', used: false, reason: unknown('later') },
      { table: 'orders', rows: '2077', used: false, reason: 'the rows need "orders", which was left out' },
      { table: 'parted', rows: '3000', used: false, reason: 'the rows need "stray", which was left out' },
      { table: 'part', rows: '2500', used: true, reason: null },
    ])
    assert.equal(missing.code, 6, missing.stderr)
    assert.doesNotMatch(missing.stderr, /restoring everything/)
  })

  test('lets no page pass that a file lacks which was restored', async () => {
    await using scratch = await createScratch('rescue-fast')
    await using site = await startUserSite({ major: 17, scratch, checksums: false })
    const { server } = site
    for (const table of ['orders', 'others']) {
      await run(server, [
        `create table ${table} (${columns}) with (autovacuum_enabled = off)`,
        `insert into ${table} ${rows(1, 2000)}`,
        `select count(*) from ${table}`,
      ])
    }
    await server.query('checkpoint')
    const [row] = await server.query<{ path: string }>(`select pg_relation_filepath('orders') as path`)
    const path = join(server.dataDirectory, row?.path ?? '')
    // A disk that gave back half of the file while the backup read it.
    const whole = await readFile(path)
    await truncate(path, 20 * 8192)
    await site.backup()
    await writeFile(path, whole)
    // Says of each page that all see it, without an image of the page.
    await run(server, ['vacuum orders', 'vacuum others'])
    const target = await mark(site)
    await site.switchWal()

    const refused = await site.run(...rescueArgs(site, ['orders'], ...target, '--fast'))
    const other = await rescue(site, ['others'], ...target, '--fast')

    assert.match(
      refused.stderr,
      /the fast way is not possible, restoring everything: .* found "page \d+ of relation/,
    )
    assert.match(refused.stderr, new RegExp(`of relation ${row?.path} does not exist"`))
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /error: .*WAL contains references to invalid pages/)
    assert.deepEqual(await server.query(`select from pg_namespace where nspname = 'rescued'`), [{}])
    // Here the same file was left out: nobody needs it.
    assert.equal(other.fast?.used, true)
    assert.equal(other.tables[0]?.rows, '2000')
  })

  test('leaves nothing that passes for a restored cluster when it is killed', async () => {
    await using scratch = await createScratch('rescue-fast')
    await using site = await startUserSite({ major: 18, scratch })
    const { server } = site
    for (const table of ['orders', 'others'])
      await run(server, [`create table ${table} (${columns})`, `insert into ${table} ${rows(1, 2000)}`])
    await site.backup()
    const target = await mark(site)
    await site.switchWal()
    await using session = await server.session()
    await session.query('begin')
    await session.query('create schema rescued')

    const killed = startHoldfast(rescueArgs(site, ['orders'], ...target, '--fast'), {
      config: site.configuration,
    })
    await waitUntil('the rescue to wait for us', async () => {
      const waiting = await server.query(`select from pg_stat_activity where wait_event_type = 'Lock'`)
      return waiting.length > 0
    })
    killed.kill('SIGKILL')
    await killed.ended
    const [name = ''] = await readdir(join(site.folder, 'sandboxes'))
    const left = join('sandboxes', name, 'data')
    await killServerIn(join(site.folder, left))
    const marker = await readFile(join(site.folder, left, 'holdfast-restore-in-progress'), 'utf8')
    const refused = await site.run('restore', '--target-dir', join(site.folder, left), ...target)
    await using restored = await site.restore(left, ...target, '--delta', '--confirm', 'main')

    assert.doesNotMatch(marker, /recovered/)
    assert.equal(refused.code, 5, refused.stderr)
    const question = `select count(*), md5(string_agg(o::text, ',' order by id)) from others o`
    assert.deepEqual(await restored.query(question), await server.query(question))
  })
})

const unknown = (table: string): string =>
  `table "${table}" is not among the names that the backup has stored: it was made later, has no files, or could not be looked at`

const wanted = ['orders', 'notes', 'packed', 'refilled', 'seen', 'parted']

const indexKinds = [
  'btree (id)',
  'btree (word)',
  'hash (word)',
  'gin (words)',
  'gist (span)',
  'spgist (word)',
  'brin (id)',
]

const indexAll = (table: string): readonly string[] =>
  indexKinds.map((kind) => `create index on ${table} using ${kind}`)

const columns = 'id int, word text, words int[], span int4range, filler text'
const rows = (first: number, last: number): string =>
  `select g, md5(g::text), array[g % 10, g % 100, g], int4range(g, g + 10), repeat('x', 100) from generate_series(${first}, ${last}) g`

const filledTable = (table: string): readonly string[] =>
  [`create table ${table} (${columns})`, `insert into ${table} ${rows(1, 3000)}`].concat(indexAll(table))

async function makeTables(server: TestServer, scratch: Scratch): Promise<void> {
  const [one, two] = [await scratch.makeFolder('space-one'), await scratch.makeFolder('space-two')]
  const statements = [
    `create tablespace one location '${one}'`,
    `create tablespace two location '${two}'`,
    `create table orders (${columns}, number bigserial primary key)`,
    'create table notes (id int primary key, text text)',
    'alter table notes alter text set storage external',
    `insert into orders ${rows(1, 3000)}`,
    `insert into notes select g, repeat(md5(g::text), 200) from generate_series(1, 300) g`,
    ...['busy', 'shrunk', 'dropped', 'truncated', 'rewritten', 'moved', 'calm'].flatMap(filledTable),
    ...indexAll('orders'),
    ...['packed', 'refilled'].flatMap(filledTable),
    'alter table refilled set tablespace one',
    `create table parted (${columns}) partition by range (id)`,
    'create table low partition of parted for values from (0) to (1000)',
    'create table high partition of parted for values from (1000) to (9000) partition by hash (word)',
    'create table even partition of high for values with (modulus 2, remainder 0)',
    'create table odd partition of high for values with (modulus 2, remainder 1)',
    'create index on parted (word)',
    `insert into parted ${rows(1, 3000)}`,
    'create materialized view seen as select * from orders',
    'create index on seen (word)',
    'create table spaced tablespace one as select * from calm',
    'create index on spaced (word) tablespace two',
    'create database other',
    'create database sheds',
    'create database wanders',
  ]
  await run(server, statements)
  for (const database of ['other', 'sheds', 'wanders']) {
    await using session = await server.session(database)
    for (const statement of filledTable('t')) await session.query(statement)
  }
}

async function change(server: TestServer): Promise<void> {
  const copies = server.major === 14 ? [''] : ['strategy wal_log', 'strategy file_copy']
  const statements = [
    'vacuum',
    'checkpoint',
    `insert into orders ${rows(3001, 4000)}`,
    'delete from orders where id % 7 = 0',
    `update orders set filler = 'changed' where id % 5 = 0`,
    `update notes set text = repeat(md5('again' || id), 150) where id % 3 = 0`,
    'vacuum orders',
    'delete from parted where id % 3 = 0',
    `insert into busy ${rows(5001, 9000)}`,
    'delete from busy where id % 3 = 0',
    'vacuum busy',
    `update busy set word = word || 'x', words = words || 7 where id % 2 = 0`,
    'vacuum (freeze, analyze) busy',
    'delete from shrunk where id > 500',
    'vacuum shrunk',
    'vacuum',
    'drop table dropped',
    'delete from packed where id % 2 = 0',
    'vacuum full packed',
    `insert into packed ${rows(3000, 3100)}`,
    'truncate refilled',
    `insert into refilled ${rows(5000, 6000)}`,
    'truncate truncated',
    `insert into truncated ${rows(1, 3000)}`,
    'vacuum full rewritten',
    'alter table moved set tablespace two',
    'reindex table busy',
    ...copies.map((copy, index) => `create database copy${index} template other ${copy}`),
    'drop database sheds',
    'alter database wanders set tablespace two',
    'checkpoint',
    'update busy set filler = null where id % 11 = 0',
    'update spaced set filler = null',
    'vacuum',
    'delete from busy where id % 13 = 0',
    'vacuum',
    'refresh materialized view seen',
    `insert into orders ${rows(4001, 4100)}`,
  ]
  await run(server, statements)
}

/** A restore point here, as a target. */
async function mark(site: UserSite): Promise<readonly string[]> {
  await site.server.query(`select pg_create_restore_point('before')`)
  return ['--target-name', 'before']
}

async function contents(server: TestServer, schema: string): Promise<readonly unknown[]> {
  const found: unknown[] = []
  for (const table of wanted) {
    found.push(
      await server.query(
        `select count(*), md5(string_agg(t::text, ',' order by id, t::text)) from ${schema}.${table} t`,
      ),
      await server.query(
        `select replace(replace(pg_get_indexdef(indexrelid), '${schema}.', ''), 'ON ONLY', 'ON') as definition
           from pg_index where indrelid = '${schema}.${table}'::regclass order by 1`,
      ),
    )
  }
  return found
}

async function run(server: TestServer, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await server.query(statement)
}

const rescueArgs = (
  { folder }: UserSite,
  tables: readonly string[],
  ...args: readonly string[]
): readonly string[] => [
  'rescue',
  '--sandbox-directory',
  join(folder, 'sandboxes'),
  '--table',
  ...tables,
  ...args,
]

async function rescue(
  site: UserSite,
  tables: readonly string[],
  ...args: readonly string[]
): Promise<RescueDocument> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  return (await site.answer(...rescueArgs(site, tables, ...args))) as unknown as RescueDocument
}

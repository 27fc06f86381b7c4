import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { FindDocument } from '../../src/api/find-document.ts'
import { parseLsn } from '../../src/domain/lsn.ts'
import { foundText } from '../support/found-text.ts'
import { fullCheck } from '../support/full-check.ts'
import { expectOk } from '../support/holdfast.ts'
import { prepareLedger } from '../support/ledger-schema.ts'
import { startLedger, type Expected, type Ledger } from '../support/ledger.ts'
import type { TestServer } from '../support/postgres-server.ts'
import type { Scratch } from '../support/scratch.ts'
import type { Major } from '../support/server-binaries.ts'
import { startUserSite, type UserSite } from '../support/user-site.ts'
import { waitUntil } from '../support/wait.ts'
import { accidents, damagedTables, type Accident } from './accidents.ts'

export interface NightsOptions {
  readonly major: Major
  /** How much WAL the history has, in bytes. */
  readonly walBytes: number
  readonly tell: (line: string) => void
}

export interface NightsReport {
  /** Of WAL, as far as `find` has looked. */
  readonly searchedBytes: number
  readonly commits: number
  /** How long `find` took for all of it, with the start of its process. */
  readonly findSeconds: number
  readonly acknowledged: number
  readonly restores: number
  /** Seconds from the command to the rows, for each table that was rescued. */
  readonly rescueSeconds: readonly number[]
}

interface Night {
  readonly accident: Accident
  /** What was acknowledged before. */
  readonly before: Expected
}

/**
 * Lets a busy server write so much WAL, with six accidents spread over it and a backup after each. Asks `find` once for all
 * of them, then restores to the moment before each, and brings its table back: everything that was acknowledged before the
 * accident is there, and nothing that came after it. Throws when anything of that is not so.
 */
export async function liveThroughNights(options: NightsOptions, scratch: Scratch): Promise<NightsReport> {
  const { major, walBytes, tell } = options
  const settings = { max_wal_size: '2GB', autovacuum: 'off' }
  await using site = await startUserSite({ major, scratch, settings })
  const { server } = site
  await prepareLedger(server)
  await prepareTables(server)
  await site.backup()
  const from = await walPosition(server)
  await using ledger = await startLedger(server, { ratePerSecond: 100 })
  const nights: Night[] = []
  for (const [index, accident] of accidents.entries()) {
    await writeWal(server, from + BigInt(Math.round((walBytes * (index + 1)) / (accidents.length + 1))))
    nights.push(await haveAccident(accident, site, ledger))
    tell(`${accident.statement}, after ${gigabytes((await walPosition(server)) - from)} GB of WAL`)
    await site.backup()
  }
  await writeWal(server, from + BigInt(walBytes))
  await ledger.stop()
  await waitForArchive(server)
  tell(`${gigabytes((await walPosition(server)) - from)} GB of WAL`)

  const { document, seconds } = await find(site)
  const { transactions, searched } = document
  tell(`found ${transactions.length} in ${searched.commits} commits, ${seconds.toFixed(1)} s`)
  assert.deepEqual(searched.holes, [])
  assert.deepEqual(
    transactions.map(foundText).toReversed(),
    nights.map(({ accident }) => accident.found),
  )
  const rescueSeconds: number[] = []
  for (const [index, night] of nights.entries()) {
    const moment = transactions.at(-1 - index)?.restore?.options ?? assert.fail(night.accident.statement)
    await proveRestore({ night, moment, name: `before-${index}` }, site)
    const took = await proveRescue(night, moment, site)
    tell(
      `restored to before "${night.accident.statement}"${took === undefined ? '' : `, rescued in ${took.toFixed(1)} s`}`,
    )
    if (took !== undefined) rescueSeconds.push(took)
  }
  return {
    searchedBytes: Number(parseLsn(searched.toLsn) - parseLsn(searched.fromLsn)),
    commits: searched.commits,
    findSeconds: seconds,
    acknowledged: ledger.acknowledged().length,
    restores: nights.length,
    rescueSeconds,
  }
}

async function prepareTables(server: TestServer): Promise<void> {
  for (const [database, statements] of Object.entries(damagedTables)) {
    await server.query(`create database ${database}`)
    await using session = await server.session(database)
    for (const statement of statements) await session.query(statement)
  }
  // Small transactions, each of which changes some rows all over a table, as a busy application's do.
  await server.query('create table busy (id int primary key, hits int, note text) with (fillfactor = 80)')
  await server.query(
    'insert into busy select g, 0, repeat(md5(g::text), 3) from generate_series(1, 1000000) g',
  )
  await server.query(`
    create procedure be_busy(rounds int) language plpgsql as $$
    declare one int; other int;
    begin
      for i in 1..rounds loop
        one := 1 + (random() * 999999)::int;
        other := 1 + (random() * 999999)::int;
        update busy set hits = hits + 1 where id = one;
        update busy set hits = hits + 1 where id = other;
        commit;
      end loop;
    end $$`)
  // And larger ones, of wide rows that stay where they are; fewer than a hundred each, which is no accident.
  await server.query('create table wide (id int primary key, note text) with (fillfactor = 40)')
  await server.query('alter table wide alter note set storage plain')
  await server.query('insert into wide select g, repeat(md5(g::text), 32) from generate_series(1, 20000) g')
  await server.query(`
    create procedure be_wide(rounds int) language plpgsql as $$
    declare first int;
    begin
      for i in 1..rounds loop
        first := 1 + (random() * 19900)::int;
        update wide set note = repeat(md5(random()::text || id), 32) where id between first and first + 90;
        commit;
      end loop;
    end $$`)
  await server.query('checkpoint')
}

const writers = ['call be_busy(2000)', 'call be_wide(200)', 'call be_wide(200)']

async function writeWal(server: TestServer, until: bigint): Promise<void> {
  const busy = writers.map(async (call) => {
    await using session = await server.session('postgres')
    await session.query('set synchronous_commit = off')
    while ((await walPosition(server)) < until) await session.query(call)
  })
  await Promise.all(busy)
}

async function haveAccident(accident: Accident, { server }: UserSite, ledger: Ledger): Promise<Night> {
  await ledger.advance(20)
  await ledger.pause()
  const before = ledger.expected()
  {
    await using session = await server.session(accident.database)
    await session.query(accident.statement)
  }
  ledger.resume()
  await ledger.advance(20)
  return { accident, before }
}

async function waitForArchive(server: TestServer): Promise<void> {
  const { name } = await one<{ name: string }>(
    server,
    'select pg_walfile_name(pg_current_wal_lsn()) as name, pg_switch_wal()',
  )
  const archived = 'select coalesce(last_archived_wal, $$$$) as last from pg_stat_archiver'
  const isThere = async () => (await one<{ last: string }>(server, archived)).last >= name
  await waitUntil('everything to be archived', isThere, { timeoutMs: 600_000, intervalMs: 200 })
}

async function find(site: UserSite): Promise<{ document: FindDocument; seconds: number }> {
  const began = performance.now()
  const { stdout } = expectOk(await site.run('--output', 'json', 'find'))
  const seconds = (performance.now() - began) / 1000
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what is looked at
  return { document: JSON.parse(stdout) as FindDocument, seconds }
}

async function proveRestore(
  { night: { accident, before }, moment, name }: { night: Night; moment: readonly string[]; name: string },
  site: UserSite,
): Promise<void> {
  {
    await using restored = await site.restore(name, ...moment)
    await using session = await restored.session(accident.count.database)
    const { rows } = await session.query<{ count: number }>(accident.count.sql)
    assert.deepEqual(rows, [{ count: accident.count.rows }], accident.statement)
    await fullCheck(restored, { expected: before, exact: true })
  }
  await rm(join(site.folder, name), { recursive: true })
}

/** Brings the table back, and gives how many seconds that took. */
async function proveRescue(
  { accident: { rescue, count } }: Night,
  moment: readonly string[],
  site: UserSite,
): Promise<number | undefined> {
  if (rescue === undefined) return undefined
  const began = performance.now()
  expectOk(
    await site.run(
      'rescue',
      '--sandbox-directory',
      join(site.folder, 'sandboxes'),
      '--table',
      rescue,
      ...moment,
    ),
  )
  const seconds = (performance.now() - began) / 1000
  await using session = await site.server.session(count.database)
  const sql = count.sql.replace(/from (?:old\.)?/, 'from rescued.')
  const { rows } = await session.query<{ count: number }>(sql)
  assert.deepEqual(rows, [{ count: count.rows }], rescue)
  return seconds
}

async function walPosition(server: TestServer): Promise<bigint> {
  return parseLsn((await one<{ lsn: string }>(server, 'select pg_current_wal_insert_lsn() as lsn')).lsn)
}

async function one<Row extends Record<string, unknown>>(server: TestServer, sql: string): Promise<Row> {
  const [row] = await server.query<Row>(sql)
  return row ?? assert.fail(sql)
}

const gigabytes = (bytes: bigint): string => (Number(bytes) / 1e9).toFixed(1)

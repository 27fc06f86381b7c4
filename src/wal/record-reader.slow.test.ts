import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createScratch, type Scratch } from '../../test/support/scratch.ts'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { supportedMajors, type Major } from '../../test/support/server-binaries.ts'
import { formatLsn, parseLsn, type Lsn } from '../domain/lsn.ts'
import { parseSegmentName, toWalSegmentSize } from '../domain/wal-segment.ts'
import { readBlockReferences } from './record-body.ts'
import { readWalRecords, type WalRecord, type WalSegmentBytes } from './record-reader.ts'
import { summarizeSegments } from './segment-summary.ts'
import { formatTimestampTz } from './timestamp-tz.ts'
import { readTransactionEnd } from './transaction-records.ts'
import type { WalEnd } from './wal-end.ts'

const segmentSize = toWalSegmentSize(1024 * 1024)

// The order of access/rmgrlist.h is the resource managers' numbers.
const managers =
  'XLOG Transaction Storage CLOG Database Tablespace MultiXact RelMap Standby Heap2 Heap Btree Hash Gin Gist Sequence SPGist BRIN CommitTs ReplicationOrigin Generic LogicalMessage'.split(
    ' ',
  )
const forks = ['main', 'fsm', 'vm', 'init']

interface SeenRecord {
  readonly lsn: string
  readonly endLsn: string
  readonly length: number
  readonly mainLength: number
  readonly imageBytes: number
  readonly xid: string
  readonly manager: string
  readonly blocks: string
  readonly end: string
}

for (const major of supportedMajors) {
  describe(`the WAL of PostgreSQL ${major}`, () => {
    test('is read to its end, record by record as the server reads it, with the times that it knows', async () => {
      await using scratch = await createScratch(`wal${major}`)
      await using server = await startVariedServer(major, scratch)
      const ended = await writeVariedWal(server)

      const until = await writtenLsn(server)
      const { records, walEnd } = await readOwn(server)

      assert.ok(lastEndOf(records) >= until, `${lastEndOf(records)}: ${walEnd.detail}`)
      assert.ok(['zeroes', 'page-recycled'].includes(walEnd.reason), JSON.stringify(walEnd.reason))
      assert.ok(records.length > 5000)
      await assertSameCommits(server, records, ended)
      if (major > 14) await assertSameRecords(server, records, until)
    })

    test('is summarized with the restore points, checkpoints and settings that the server knows', async () => {
      await using scratch = await createScratch(`wal${major}`)
      await using server = await startVariedServer(major, scratch)
      await server.query('create table t (i int)')
      const [point] = await server.query<{ lsn: string }>(`select pg_create_restore_point('größe') as lsn`)
      await server.query('insert into t values (1)')
      await server.reload({ full_page_writes: false })
      await server.query('checkpoint')
      await server.restart({ wal_level: 'logical' })
      const [checkpoint] = await server.query<{ redo: string; time: string }>(
        `select redo_lsn as redo, extract(epoch from checkpoint_time)::bigint::text as time from pg_control_checkpoint()`,
      )

      const until = await writtenLsn(server)
      const summary = await summarizeSegments(await segmentsOf(server))

      assert.ok(summary.lastRecordEndLsn !== undefined && summary.lastRecordEndLsn >= until)
      assert.deepEqual(
        summary.restorePoints.map(({ name, endLsn }) => [name, formatLsn(endLsn)]),
        [['größe', point?.lsn]],
      )
      const last = summary.checkpoints.at(-1)
      assert.ok(last)
      assert.deepEqual([formatLsn(last.redoLsn), String(last.time)], [checkpoint?.redo, checkpoint?.time])
      assert.deepEqual([last.isShutdown, last.timeline, last.previousTimeline], [true, 1, 1])
      assert.equal(last.hasFullPageWrites, false)
      const changes = summary.settingsChanges.map((change) =>
        change.kind === 'parameter-change' ? change.walLevel : change.hasFullPageWrites,
      )
      assert.deepEqual(changes.slice(-3), ['replica', false, 'logical'])
      assert.equal(summary.lastCommit?.time, summary.latestCommitTime)
    })

    test('goes on where a crashed server gave up a record that it had begun', async () => {
      await using scratch = await createScratch(`wal${major}`)
      await using server = await startVariedServer(major, scratch)
      await server.query('select pg_switch_wal()')
      await server.query(`select pg_logical_emit_message(true, 'lost', repeat('x', 3000000))`)
      const [{ name } = { name: '' }] = await server.query<{ name: string }>(
        'select pg_walfile_name(pg_current_wal_lsn()) as name',
      )
      await server.stop('immediate')
      // The record's last segment and the one before it never reached the disk.
      const names = (await segmentsOf(server)).map((segment) => segment.name)
      for (const lost of names.slice(names.indexOf(name) - 1)) {
        await writeFile(join(server.dataDirectory, 'pg_wal', lost), new Uint8Array(segmentSize))
      }

      await server.start()
      await server.query('create table after_crash (i int)')
      const until = await writtenLsn(server)
      const { records } = await readOwn(server)

      assert.ok(lastEndOf(records) >= until)
      // XLOG_OVERWRITE_CONTRECORD
      assert.equal(records.filter(({ rmid, info }) => rmid === 0 && info === 0xd0).length, 1)
      if (major > 14) await assertSameRecords(server, records, until)
    })
  })
}

async function startVariedServer(major: Major, scratch: Scratch): Promise<TestServer> {
  const server = await startServer({
    major,
    scratch,
    walSegmentSizeMb: 1,
    settings: {
      wal_keep_size: '2GB',
      wal_compression: major === 14 ? 'on' : 'pglz',
      max_prepared_transactions: 5,
      track_commit_timestamp: true,
      autovacuum: false,
    },
  })
  if (major > 14) await server.query('create extension pg_walinspect')
  return server
}

/** All sorts of records. Returns the ids of the top-level transactions that we know the outcome of. */
async function writeVariedWal(server: TestServer): Promise<ReadonlyMap<number, 'commit' | 'abort'>> {
  const ended = new Map<number, 'commit' | 'abort'>()
  await using session = await server.session()
  const run = async (sql: string): Promise<void> => {
    await session.query(sql)
  }
  const inTransaction = async (end: string, statements: readonly string[]): Promise<void> => {
    await run('begin')
    const { rows } = await session.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
    for (const statement of statements) await run(statement)
    for (const statement of end.split(';')) await run(statement)
    ended.set(Number(rows[0]?.xid), /rollback(?! to)/.test(end) ? 'abort' : 'commit')
  }

  await run('create table t (i int primary key, s text, a int[], p point)')
  await inTransaction('commit', [
    `insert into t select g, repeat(md5(g::text), 5), array[g, g % 7], point(g, g % 11) from generate_series(1, 4000) g`,
  ])
  await run('checkpoint')
  await run('create index on t using gin (a)')
  await run('create index on t using gist (p)')
  await run('create index on t using spgist (p)')
  await run('create index on t using brin (i)')
  await run('create index on t using hash (s)')
  await inTransaction('commit', [
    'update t set i = -i where i % 3 = 0',
    'savepoint a',
    'delete from t where i % 5 = 0',
    'rollback to a',
    'savepoint b',
    'delete from t where i % 50 = 0',
    'release b',
  ])
  await inTransaction('rollback', ['create table gone (i int)', 'insert into gone values (1)', 'truncate t'])
  await run(`create table prepared as select g as i from generate_series(1, 100) g`)
  await inTransaction(`prepare transaction 'one';commit prepared 'one'`, [
    'savepoint a',
    'drop table prepared',
    'release a',
    'create table other (i int)',
  ])
  await inTransaction(`prepare transaction 'two';rollback prepared 'two'`, [
    'savepoint a',
    'create table never (i int)',
    'insert into never values (1)',
  ])
  await run(`select pg_create_restore_point('half')`)
  await run('select pg_switch_wal()')
  await inTransaction('commit', ['truncate other', 'drop table other'])
  await run('create database copied template template1')
  await run(`select pg_logical_emit_message(true, 'm', repeat('wide ', 700000))`)
  for (let length = 8000; length < 8200; length += 1) {
    await run(`select pg_logical_emit_message(false, 'm', repeat('x', ${length}))`)
  }
  await run('checkpoint')
  await inTransaction('commit', ['update t set s = s || i'])
  await run('vacuum t')
  await run('create sequence q')
  await run(`select nextval('q') from generate_series(1, 100)`)
  return ended
}

async function writtenLsn(server: TestServer): Promise<Lsn> {
  const [row] = await server.query<{ lsn: string }>(
    `select pg_logical_emit_message(true, 'end', '')::text as lsn`,
  )
  return parseLsn(row?.lsn ?? '')
}

async function segmentsOf(server: TestServer): Promise<(WalSegmentBytes & { name: string })[]> {
  const folder = join(server.dataDirectory, 'pg_wal')
  const names = (await readdir(folder)).filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted()
  return Promise.all(
    names.map(async (name) => ({
      name,
      startLsn: parseSegmentName(name, segmentSize).startLsn,
      bytes: await readFile(join(folder, name)),
    })),
  )
}

async function readOwn(server: TestServer): Promise<{ records: WalRecord[]; walEnd: WalEnd }> {
  const records: WalRecord[] = []
  const reading = readWalRecords(await segmentsOf(server))
  for (;;) {
    const { done, value } = reading.next()
    if (done === true) return { records, walEnd: value }
    // Records that were put together from several pages are valid for a moment only.
    const bytes = new Uint8Array(value.totalLength)
    bytes.set(new Uint8Array(value.bytes.buffer, value.bytes.byteOffset, value.totalLength))
    const mainData = bytes.subarray(bytes.length - value.mainData.length)
    records.push({ ...value, bytes: new DataView(bytes.buffer), mainData })
  }
}

function lastEndOf(records: readonly WalRecord[]): bigint {
  return records.at(-1)?.endLsn ?? 0n
}

/** pg_walinspect came with 15. */
async function assertSameRecords(
  server: TestServer,
  records: readonly WalRecord[],
  until: Lsn,
): Promise<void> {
  const [first] = records
  assert.ok(first)
  const rows = await server.query<Record<string, string | number>>(
    `select start_lsn::text, end_lsn::text, xid::text, resource_manager, record_type, record_length,
            main_data_length, fpi_length, description, block_ref
       from pg_get_wal_records_info($1, $2)`,
    [formatLsn(first.lsn), formatLsn(until)],
  )
  const theirs = rows.map((row) => ({
    lsn: String(row['start_lsn']),
    endLsn: String(row['end_lsn']),
    length: row['record_length'],
    mainLength: row['main_data_length'],
    imageBytes: row['fpi_length'],
    xid: String(row['xid']),
    manager: row['resource_manager'],
    blocks: [...String(row['block_ref'] ?? '').matchAll(/rel (\S+) fork (\w+) blk (\d+)/g)]
      .map(([, relation, fork, block]) => `${relation} ${fork} ${block}`)
      .join(),
    end: describedEnd(String(row['record_type']), String(row['description'])),
  }))
  const ours = records.filter(({ endLsn }) => endLsn <= until).map(seen)

  assert.ok(theirs.length > 100)
  assert.equal(ours.length, theirs.length)
  for (const [index, record] of ours.entries()) assert.deepEqual(record, theirs[index])
}

function seen(record: WalRecord): SeenRecord {
  const end = readTransactionEnd(record)
  return {
    lsn: formatLsn(record.lsn),
    endLsn: formatLsn(record.endLsn),
    length: record.totalLength,
    mainLength: record.mainData.length,
    imageBytes: record.imageBytes,
    xid: String(record.xid),
    manager: managers[record.rmid] ?? '?',
    blocks: (readBlockReferences(record.bytes, record.major) ?? [])
      .map((block) =>
        [
          `${block.tablespace}/${block.database}/${block.relation}`,
          forks[block.fork],
          String(block.block),
        ].join(' '),
      )
      .join(),
    end:
      end === undefined
        ? ''
        : `${end.kind} ${end.isPrepared ? end.xid : ''} ${shortTime(formatTimestampTz(end.time))}`,
  }
}

/** `COMMIT_PREPARED` and `743: 2026-02-20 15:30:00.5+00; rels: ...` */
function describedEnd(type: string, description: string): string {
  if (!/^(COMMIT|ABORT)/.test(type)) return ''
  const [, xid = '', time] = /^(?:(\d+): )?([-0-9:. ]+\+00)/.exec(description) ?? []
  return `${type.startsWith('COMMIT') ? 'commit' : 'abort'} ${xid} ${time}`
}

function shortTime(time: string): string {
  return time.replace(/\.?0*\+00$/, '+00')
}

/** What SQL can tell without pg_walinspect, so also on 14. */
async function assertSameCommits(
  server: TestServer,
  records: readonly WalRecord[],
  expected: ReadonlyMap<number, 'commit' | 'abort'>,
): Promise<void> {
  const ends = new Map(records.map(readTransactionEnd).flatMap((end) => (end ? [[end.xid, end]] : [])))
  assert.equal(expected.size, 7)
  for (const [xid, kind] of expected) assert.equal(ends.get(xid)?.kind, kind, `transaction ${xid}`)
  const first = Math.min(...expected.keys())
  const commits = [...ends.values()].filter(({ kind, xid }) => kind === 'commit' && xid >= first)
  const rows = await server.query<{ xid: string; time: string }>(
    `select x::text as xid, pg_xact_commit_timestamp(x::text::xid)::text as time from unnest($1::bigint[]) x`,
    [commits.map(({ xid }) => xid)],
  )

  assert.ok(commits.length >= 12)
  assert.deepEqual(
    commits.map(({ xid, time }) => [String(xid), shortTime(formatTimestampTz(time))]),
    rows.map(({ xid, time }) => [xid, time]),
  )
}

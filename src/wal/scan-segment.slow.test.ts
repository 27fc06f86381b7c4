import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { compareFiles, readRelationFiles } from '../../test/support/relation-files.ts'
import { createScratch, type Scratch } from '../../test/support/scratch.ts'
import { seededRandom } from '../../test/support/seeded-random.ts'
import { supportedMajors, type Major } from '../../test/support/server-binaries.ts'
import {
  assertSameContents,
  readContents,
  scanTogether,
  type ScannedWal,
} from '../../test/support/wal-contents.ts'
import { prepareWorkload, runMoreWorkload, runWorkload } from '../../test/support/wal-workload.ts'
import { formatLsn, parseLsn, type Lsn } from '../domain/lsn.ts'
import { parseSegmentName, toWalSegmentSize } from '../domain/wal-segment.ts'
import type { WalSegmentBytes } from './record-reader.ts'
import { scanSegment } from './scan-segment.ts'
import { formatTimestampTz } from './timestamp-tz.ts'

const segmentSize = toWalSegmentSize(1024 * 1024)
const forks = ['main', 'fsm', 'vm', 'init']
/** Those that change relations, and some more, all of which the workload makes busy. */
const managers =
  'Storage Database MultiXact RelMap Standby Heap2 Heap Btree Hash Gin Gist Sequence SPGist BRIN Generic LogicalMessage'.split(
    ' ',
  )

for (const major of supportedMajors) {
  describe(`the WAL of PostgreSQL ${major}`, () => {
    test('tells every block that a server changed, and what the server itself tells of it (R51)', async () => {
      await using scratch = await createScratch(`scan${major}`)
      await using server = await startBusyServer(major, scratch)
      await prepareWorkload(server, await scratch.makeFolder('place'))
      const from = await checkpoint(server)
      const before = await readRelationFiles(server.dataDirectory)

      await runWorkload(server)
      await server.kill()
      await server.start()
      await runMoreWorkload(server)

      const until = await checkpoint(server)
      const after = await readRelationFiles(server.dataDirectory)
      const segments = await segmentsOf(server)
      const wal = scanTogether(segments, { fromLsn: from, untilLsn: until })
      assert.deepEqual(wal.unknown, [])
      const { changedCount, missed } = compareFiles(before, after, wal.changes)
      assert.deepEqual(missed, [])
      assert.ok(changedCount > 300, `${changedCount} blocks changed`)
      await assertRows(server, wal)
      assertEvents(wal, major)
      if (major > 14) await assertSameRecords(server, wal, { from, until })
      if (major > 15) await assertSameBlocks(server, wal, { from, until })
      assertSameSegments(segments, major)
    })
  })
}

async function startBusyServer(major: Major, scratch: Scratch): Promise<TestServer> {
  const server = await startServer({
    major,
    scratch,
    walSegmentSizeMb: 1,
    settings: {
      wal_level: major % 2 === 0 ? 'logical' : 'replica',
      wal_keep_size: '2GB',
      max_wal_size: '2GB',
      wal_compression: major === 14 ? 'on' : 'pglz',
      max_prepared_transactions: 5,
      track_commit_timestamp: true,
      autovacuum: false,
    },
  })
  if (major > 14) await server.query('create extension pg_walinspect')
  return server
}

/** Gives the redo point. */
async function checkpoint(server: TestServer): Promise<Lsn> {
  await server.query('checkpoint')
  const [row] = await server.query<{ lsn: string }>(
    'select redo_lsn::text as lsn from pg_control_checkpoint()',
  )
  return parseLsn(row?.lsn ?? '')
}

async function segmentsOf(server: TestServer): Promise<readonly WalSegmentBytes[]> {
  const folder = join(server.dataDirectory, 'pg_wal')
  const names = (await readdir(folder)).filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted()
  return Promise.all(
    names.map(async (name) => ({
      startLsn: parseSegmentName(name, segmentSize).startLsn,
      bytes: await readFile(join(folder, name)),
    })),
  )
}

/** Each segment alone, as it is and damaged, is read as record by record. */
function assertSameSegments(segments: readonly WalSegmentBytes[], major: Major): void {
  const random = seededRandom(major)
  for (const [index, { startLsn, bytes }] of segments.entries()) {
    if (index % 4 === 0)
      assertSameContents(scanSegment(bytes, { startLsn }), readContents([{ startLsn, bytes }]))
    const damaged = Buffer.from(bytes)
    const at = random(damaged.length)
    damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << random(8)), at)
    const cut = index % 10 === 0 ? damaged.subarray(0, random(damaged.length)) : damaged
    assertSameContents(scanSegment(cut, { startLsn }), readContents([{ startLsn, bytes: cut }]))
  }
}

/** The rows of the one transaction of the workload that has only these. */
async function assertRows(server: TestServer, wal: ScannedWal): Promise<void> {
  const [row] = await server.query<{ xid: string }>('select xmin::text as xid from counted limit 1')
  assert.ok(row)
  const rows = sumRows(wal)
  const counts = rows.filter(({ inserted, updated, deleted }) => {
    return inserted === 31 && updated === 10 && deleted === 5
  })
  assert.equal(counts.length, 1)
  const [copied] = await server.query<{ xid: string }>('select xmin::text as xid from copied_into limit 1')
  const copies = rows.filter(({ xid, inserted }) => String(xid) === copied?.xid && inserted === 3000)
  assert.equal(copies.length, 1)
}

/** A transaction that goes on into another segment has its rows in both. */
function sumRows({ rows }: ScannedWal): readonly ScannedWal['rows'][number][] {
  const sums = new Map<string, ScannedWal['rows'][number]>()
  for (const row of rows) {
    const key = `${row.xid} ${row.tablespace} ${row.database} ${row.relation}`
    const known = sums.get(key)
    const sum = (kind: 'inserted' | 'updated' | 'deleted'): number => row[kind] + (known?.[kind] ?? 0)
    sums.set(key, { ...row, inserted: sum('inserted'), updated: sum('updated'), deleted: sum('deleted') })
  }
  return [...sums.values()]
}

function assertEvents({ events, transactions }: ScannedWal, major: Major): void {
  const kinds = new Set<string>(events.map(({ kind }) => kind))
  const expected = ['created', 'truncated', 'dropped', 'discarded', 'database-copied', 'database-dropped']
  if (major > 14) expected.push('database-logged')
  if (major % 2 === 0) expected.push('table-truncated')
  assert.deepEqual(kinds, new Set(expected))
  assert.ok(transactions.some(({ subxids }) => subxids.length === 100))
  assert.equal(transactions.filter(({ isPrepared }) => isPrepared).length, 3)
}

interface Range {
  readonly from: Lsn
  readonly until: Lsn
}

/** pg_walinspect came with 15. */
async function assertSameRecords(server: TestServer, wal: ScannedWal, { from, until }: Range): Promise<void> {
  const rows = await server.query<Record<string, string>>(
    `select start_lsn::text as lsn, resource_manager as manager, record_type as type, description, block_ref
       from pg_get_wal_records_info($1, $2) where start_lsn < $2`,
    [formatLsn(from), formatLsn(until)],
  )
  assert.equal(wal.recordCount, rows.length)
  const seenManagers = new Set(rows.map(({ manager }) => manager))
  for (const manager of managers) assert.ok(seenManagers.has(manager), manager)
  const blocks = rows.flatMap(({ block_ref }) =>
    [...(block_ref ?? '').matchAll(/rel (\S+) fork (\w+) blk (\d+)/g)].map(
      ([, relation, fork = '', block]) => `${relation}/${forks.indexOf(fork)} ${block}`,
    ),
  )
  assert.deepEqual(wal.blocks, [...new Set(blocks)].toSorted())
  const ends = rows.filter(({ type = '' }) => /^(COMMIT|ABORT)/.test(type) && !type.includes('TS'))
  assert.deepEqual(
    wal.transactions.map(({ lsn, kind, isPrepared, time }) => [
      formatLsn(lsn),
      `${kind.toUpperCase()}${isPrepared ? '_PREPARED' : ''}`,
      shortTime(formatTimestampTz(time)),
    ]),
    ends.map(({ lsn, type, description = '' }) => [
      lsn,
      type,
      shortTime(/[-0-9]{10} [0-9:.]+\+00/.exec(description)?.[0] ?? ''),
    ]),
  )
}

/** pg_get_wal_block_info came with 16. */
async function assertSameBlocks(server: TestServer, wal: ScannedWal, { from, until }: Range): Promise<void> {
  const rows = await server.query<{ name: string }>(
    `select distinct format('%s/%s/%s/%s %s', reltablespace, reldatabase, relfilenode, relforknumber, relblocknumber)
         as name
       from pg_get_wal_block_info($1, $2) where start_lsn < $2`,
    [formatLsn(from), formatLsn(until)],
  )
  assert.deepEqual(wal.blocks, rows.map(({ name }) => name).toSorted())
}

function shortTime(time: string): string {
  return time.replace(/\.?0*\+00$/, '+00')
}

import assert from 'node:assert/strict'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { recordingContext, temporaryFolder } from '../../test/support/archive-fixture.ts'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { createScratch } from '../../test/support/scratch.ts'
import type { Major } from '../../test/support/server-binaries.ts'
import { parseLsn, type Lsn } from '../domain/lsn.ts'
import { parseSystemIdentifier } from '../domain/system-identifier.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { parseTimelineHistory, type TimelineHistory } from '../domain/timeline-history.ts'
import { parseSegmentName, toWalSegmentSize } from '../domain/wal-segment.ts'
import { systemClock } from '../platform/system-clock.ts'
import { ensureCluster } from '../repository/cluster-record.ts'
import { createRepository } from '../repository/open-repository.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { addRecord } from '../wal/add-record.ts'
import type { ChangedBlocks } from '../wal/changed-blocks.ts'
import { readWalRecords } from '../wal/record-reader.ts'
import { WalFacts } from '../wal/wal-facts.ts'
import type { ArchivePlace } from './archive-place.ts'
import { collectChanges, type CollectedChanges } from './collect-changes.ts'
import { pushFile } from './push-file.ts'

const segmentSize = toWalSegmentSize(1024 * 1024)
const one = { timeline: toTimelineId(1), ancestors: [] }

for (const major of [14, 18] as const) {
  describe(`the changes between two checkpoints of PostgreSQL ${major}`, () => {
    test('are what reading its WAL in one go tells, across records that lie in several segments', async () => {
      await using scratch = await createScratch(`changes${major}`)
      await using server = await startKeepingServer(major, scratch)
      const from = await checkpoint(server)
      await writeMuch(server)
      const to = await checkpoint(server)
      await server.query('create table later as select 1 as i')
      const place = await placeOf(server)
      const segments = await segmentsOf(server)
      await archive(place, segments.slice(0, -2))

      const collected = await collect(server, place, { history: one, from, to })

      assertProven(collected)
      assert.ok(collected.segmentCount > 10, String(collected.segmentCount))
      assert.deepEqual(described(collected.changes), described(await readInOneGo(segments, from, to)))
    })

    test('are found along a promotion, and not told without a segment or with a bit turned over', async () => {
      await using scratch = await createScratch(`changes${major}`)
      await using server = await startKeepingServer(major, scratch)
      const from = await checkpoint(server)
      await server.query('create table t as select g as i from generate_series(1, 40000) g')
      const forked = await promote(server)
      await server.query('update t set i = i + 1 where i % 7 = 0')
      const to = await checkpoint(server)
      const place = await placeOf(server)
      const segments = await segmentsOf(server)

      const history = await historyOf(server)
      const whole = await collect(server, place, { history, from, to })
      const oldOnly = await collect(server, place, { history: one, from, to })
      const early = await collect(server, place, { history: one, from, to: forked })
      const ofBranch = await collect(server, place, { history, from: to, to, timeline: 1 })

      assertProven(whole)
      assertProven(early)
      const path = segments.filter(({ name, startLsn }) => name.startsWith('00000002') || startLsn < forked)
      const youngest = path.filter(
        ({ name, startLsn }) =>
          name.startsWith('00000002') ||
          path.every((other) => other.name === name || other.startLsn !== startLsn),
      )
      assert.deepEqual(described(whole.changes), described(await readInOneGo(youngest, from, to)))
      const inside = youngest.find(({ startLsn }) => startLsn > from)
      assert.equal(oldOnly.kind, 'unproven')
      assert.match(reasonOf(ofBranch), /timeline 2 does not pass through/)
      await assertDoubted(server, place, { history, from, to, segment: inside ?? assert.fail() })
    })
  })
}

interface NamedSegment {
  readonly name: string
  readonly startLsn: Lsn
  readonly bytes: Uint8Array
}

interface Asked {
  readonly history: TimelineHistory
  readonly from: Lsn
  readonly to: Lsn
  readonly timeline?: number
}

function startKeepingServer(
  major: Major,
  scratch: Parameters<typeof startServer>[0]['scratch'],
): Promise<TestServer> {
  const settings = { wal_keep_size: '2GB', autovacuum: false, checkpoint_timeout: '1h', max_wal_size: '4GB' }
  return startServer({ major, scratch, walSegmentSizeMb: 1, settings })
}

async function checkpoint(server: TestServer): Promise<Lsn> {
  await server.query('checkpoint')
  const [row] = await server.query<{ lsn: string }>(
    'select redo_lsn::text as lsn from pg_control_checkpoint()',
  )
  return parseLsn(row?.lsn ?? '')
}

/** Long messages, a commit with many subtransactions and files, truncation, a database, a switch. */
async function writeMuch(server: TestServer): Promise<void> {
  await server.query('create table t as select g as i, md5(g::text) as s from generate_series(1, 10000) g')
  await server.query('create index on t (i)')
  await server.query(`select pg_logical_emit_message(false, 'm', repeat('x', 3500000))`)
  for (let count = 0; count < 8; count += 1) {
    await server.query('update t set i = i + 1 where i % 40 = $1', [count])
    await server.query(`select pg_logical_emit_message(true, 'm', repeat('y', 150000 + ${count} * 50000))`)
  }
  await server.query('select pg_switch_wal()')
  await server.query(`do $$ begin for n in 1..800 loop
    begin execute 'insert into t values (' || n || ')'; exception when division_by_zero then end;
    if n % 10 = 0 then execute 'create table t' || n || ' as select 1 as i'; end if;
  end loop; end $$`)
  await server.query('delete from t where i > 1000')
  await server.query('vacuum t')
  await server.query('create database other')
  await server.query(`do $$ begin for n in 1..800 loop
    if n % 10 = 0 then execute 'drop table t' || n; end if;
  end loop; end $$`)
  await server.query('drop database other')
}

async function promote(server: TestServer): Promise<Lsn> {
  await server.stop()
  await writeFile(join(server.dataDirectory, 'standby.signal'), '')
  await server.start()
  await server.query('select pg_promote()')
  const { ancestors } = await historyOf(server)
  return ancestors[0]?.endLsn ?? assert.fail()
}

async function historyOf(server: TestServer): Promise<TimelineHistory> {
  const text = await readFile(join(server.dataDirectory, 'pg_wal', '00000002.history'), 'latin1')
  return parseTimelineHistory(toTimelineId(2), text)
}

async function placeOf(server: TestServer): Promise<ArchivePlace> {
  const [row] = await server.query<{ id: string }>(
    'select system_identifier::text as id from pg_control_system()',
  )
  const context = recordingContext()
  const store = new MemoryStore('archive', systemClock)
  const repository = await createRepository(store, { unlocker: undefined }, context)
  const cluster = await ensureCluster(
    repository,
    {
      name: 'main',
      systemIdentifier: parseSystemIdentifier(row?.id ?? ''),
      major: server.major,
      walSegmentSize: segmentSize,
    },
    context,
  )
  return { repository, cluster }
}

async function segmentsOf(server: TestServer): Promise<readonly NamedSegment[]> {
  const folder = join(server.dataDirectory, 'pg_wal')
  const names = (await readdir(folder)).filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted()
  const [row] = await server.query<{ name: string }>('select pg_walfile_name(pg_current_wal_lsn()) as name')
  return Promise.all(
    names
      .filter((name) => name.slice(8) <= (row?.name ?? '').slice(8))
      .map(async (name) => ({
        name,
        startLsn: parseSegmentName(name, segmentSize).startLsn,
        bytes: await readFile(join(folder, name)),
      })),
  )
}

async function archive(
  place: ArchivePlace,
  segments: readonly Omit<NamedSegment, 'startLsn'>[],
): Promise<void> {
  await using folder = await temporaryFolder()
  for (const { name, bytes } of segments) {
    await writeFile(join(folder.path, name), bytes)
    await pushFile({ path: join(folder.path, name) }, { repositories: [place] }, recordingContext())
  }
}

function collect(
  server: TestServer,
  place: ArchivePlace,
  { history, from, to, timeline = 1 }: Asked,
): Promise<CollectedChanges> {
  const walFolder = join(server.dataDirectory, 'pg_wal')
  const request = { history, from: { timeline: toTimelineId(timeline), lsn: from }, to, walFolder }
  return collectChanges(request, place, recordingContext())
}

/** With one segment of the stretch spoilt, in the archive and at the server, and then gone. */
async function assertDoubted(
  server: TestServer,
  place: ArchivePlace,
  { segment, ...asked }: Asked & { readonly segment: NamedSegment },
): Promise<void> {
  const { name, bytes } = segment
  const path = join(server.dataDirectory, 'pg_wal', name)
  const spoilt = Buffer.from(bytes)
  const middle = segmentSize / 2 + 100
  spoilt.writeUInt8(spoilt.readUInt8(middle) ^ 4, middle)
  await writeFile(path, spoilt)
  const atServer = await collect(server, place, asked)
  await archive(place, [{ name, bytes: spoilt }])
  const archived = await collect(server, place, asked)
  await rm(path)
  const gone = await collect(server, await placeOf(server), asked)

  for (const answer of [atServer, archived]) assert.match(reasonOf(answer), /cannot be read on from/)
  assert.match(reasonOf(gone), new RegExp(`segment .*${name}.* is neither archived`))
}

/** All records of the stretch, one after the other. */
async function readInOneGo(segments: readonly NamedSegment[], from: Lsn, to: Lsn): Promise<ChangedBlocks> {
  const facts = new WalFacts()
  for (const { lsn, endLsn, major, bytes, totalLength } of readWalRecords(segments)) {
    if (lsn < from || lsn >= to) continue
    const record = new Uint8Array(bytes.buffer, bytes.byteOffset, totalLength)
    assert.equal(addRecord(facts, { bytes: record, lsn, endLsn, major }), undefined)
  }
  await Promise.resolve()
  return facts.changes
}

function described(changes: ChangedBlocks): readonly string[] {
  const forks = [...changes.forks()].map(
    ([{ tablespace, database, relation, fork }, blocks]) =>
      `${tablespace}/${database}/${relation}/${fork} from ${blocks.limit ?? '-'}: ${[...blocks.blocks()].join()}`,
  )
  const databases = [...changes.databases()].map((names) => names.join('/'))
  assert.ok(forks.length > 10)
  return [...forks, ...databases].toSorted()
}

function reasonOf(collected: CollectedChanges): string {
  return collected.kind === 'unproven' ? collected.reason : 'proven'
}

function assertProven(
  collected: CollectedChanges,
): asserts collected is Extract<CollectedChanges, { kind: 'proven' }> {
  assert.equal(reasonOf(collected), 'proven')
}

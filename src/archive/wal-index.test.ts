import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { plainContents } from '../../test/support/plain-contents.ts'
import { mainData, WalBuilder } from '../../test/support/wal-builder.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import { toTimelineId } from '../domain/timeline.ts'
import type { ForkId } from '../wal/changed-blocks.ts'
import type { RelationId, RowCount } from '../wal/row-counts.ts'
import { scanSegment } from '../wal/scan-segment.ts'
import type { SegmentContents } from '../wal/segment-contents.ts'
import { WalFacts } from '../wal/wal-facts.ts'
import { decodeWalIndex, encodeWalIndex } from './wal-index.ts'

const segmentSize = 1024 * 1024
const startLsn = toLsn(0x7_0030_0000n)
const at = (offset: number): Lsn => toLsn(startLsn + BigInt(offset))
const goldenFile = join(import.meta.dirname, '../../test/golden/wal-index-v1.bin')

describe('an index of WAL', () => {
  test('gives back all that it was made of', () => {
    fc.assert(
      fc.property(contents, (made) => {
        const bytes = encodeWalIndex(made)
        assert.ok(bytes)

        const read = decodeWalIndex(bytes, 'test')

        assert.deepEqual(plainContents(read), plainContents(made))
        assert.deepEqual(encodeWalIndex(read), bytes)
      }),
      { numRuns: 200 },
    )
  })

  test('gives back what is in built segments, with records that cross their borders', () => {
    const wal = new WalBuilder()
    for (let count = 0; count < 9000; count += 1)
      wal.append({ rmid: 21, xid: count, body: mainData(Buffer.alloc(count % 900, 1)) })
    assert.ok(wal.segments.length > 3)
    for (const { startLsn: segmentStart, bytes } of wal.segments.slice(0, -1)) {
      const scanned = scanSegment(bytes, { startLsn: segmentStart })
      const read = decodeWalIndex(encodeWalIndex(scanned) ?? assert.fail(), 'test')
      assert.deepEqual(plainContents(read), plainContents(scanned))
    }
  })

  test('is read without its transactions when only changes are asked for', () => {
    const made = goldenContents()
    const read = decodeWalIndex(encodeWalIndex(made) ?? assert.fail(), 'test', { isChangesOnly: true })

    assert.equal(read.facts.transactions.count, 0)
    assert.equal(
      read.facts.changes.find({ tablespace: 1663, database: 5, relation: 16384, fork: 0 })?.count,
      18,
    )
    assert.deepEqual(read.facts.control, made.facts.control)
  })

  test('is still what the golden file holds', () => {
    const golden = readFileSync(goldenFile)

    assert.deepEqual(Buffer.from(encodeWalIndex(goldenContents()) ?? assert.fail()), golden)
    assert.deepEqual(plainContents(decodeWalIndex(golden, 'golden')), plainContents(goldenContents()))
  })

  test('of any other bytes is damaged or newer, and nothing else (X8)', () => {
    const golden = readFileSync(goldenFile)
    for (let length = 0; length < golden.length; length += 1) {
      assert.throws(() => decodeWalIndex(golden.subarray(0, length), 'test'), isOperationError)
    }
    for (let offset = 0; offset < golden.length; offset += 1) {
      for (const value of [0, 1, 0x7f, 0x80, 0xff, (golden[offset] ?? 0) ^ 4]) {
        const changed = Buffer.from(golden)
        changed.writeUInt8(value, offset)
        refuse(changed)
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => refuse(Buffer.from([1, ...bytes]))))
  })

  test('claims no more memory than a segment can need (X8)', () => {
    const made = emptyContents()
    const fork = made.facts.changes.forkOf({ tablespace: 1, database: 1, relation: 1, fork: 0 })
    for (let block = 0; block <= segmentSize / 32; block += 1) fork.add(2048 * block)

    assert.equal(encodeWalIndex(made), undefined)
  })
})

/** It is read, or refused as it must be. */
function refuse(bytes: Uint8Array): void {
  try {
    decodeWalIndex(bytes, 'test')
  } catch (error) {
    assert.ok(isOperationError(error), String(error))
    assert.ok(['damaged', 'format-newer'].includes(error.code), error.code)
  }
}

/** Of every section something; docs/formats/wal-index.md shows its bytes. */
function goldenContents(): SegmentContents {
  const facts = new WalFacts()
  facts.changes.addDatabase(1663, 16400)
  const main = facts.changes.forkOf({ tablespace: 1663, database: 5, relation: 16384, fork: 0 })
  for (const block of [7, ...Array.from({ length: 17 }, (_, index) => 8 + index)]) main.add(block)
  const vm = facts.changes.forkOf({ tablespace: 1663, database: 5, relation: 16384, fork: 2 })
  vm.add(3)
  vm.add(300)
  facts.changes.forkOf({ tablespace: 1663, database: 5, relation: 16390, fork: 0 }).limitTo(0)
  addEnd(facts, {
    isAbort: false,
    isPrepared: false,
    xid: 750,
    time: 825_000_000_000_000n,
    place: [4096, 40],
  })
  facts.transactions.addSubxid(751)
  addEnd(facts, { isAbort: true, isPrepared: true, xid: 749, time: 825_000_000_500_000n, place: [8000, 48] })
  facts.firstLsns.see(750, 7, 0x30_0100)
  facts.firstLsns.setParent(751, 750)
  const relation = facts.rows.relationIndexOf({ tablespace: 1663, database: 5, relation: 16384 })
  facts.rows.addInserted(facts.rows.indexOf(relation, 750), 100)
  facts.rows.addDeleted(facts.rows.indexOf(relation, 751))
  const place = { tablespace: 1663, database: 5, relation: 16390 }
  facts.relationEvents.add({ kind: 'created', ...place, fork: 0, block: 0, xid: 750, lsn: at(400) })
  facts.control.push({
    kind: 'restore-point',
    name: 'half',
    time: 825_000_000_100_000n,
    lsn: at(500),
    endLsn: at(600),
  })
  return {
    ...emptyContents(),
    facts,
    recordCount: 321,
    firstRecord: { lsn: at(48), prevLsn: at(-64) },
    lastRecordLsn: at(segmentSize - 16),
    head: { missing: 8, bytes: Buffer.from('the rest'), endLsn: at(48), state: 'whole' },
    tail: {
      lsn: at(segmentSize - 16),
      previousLsn: at(segmentSize - 80),
      totalLength: 100,
      length: 16,
      bytes: Buffer.from('the beginning of'),
    },
    end: { reason: 'record-unfinished', lsn: at(segmentSize - 16), detail: '84 of 100 bytes' },
  }
}

function emptyContents(): SegmentContents {
  return {
    startLsn,
    segmentSize,
    major: 18,
    systemIdentifier: 7_654_321_098_765_432_109n,
    timeline: 1,
    head: undefined,
    tail: undefined,
    firstRecord: undefined,
    lastRecordLsn: undefined,
    recordCount: 0,
    end: { reason: 'segments-exhausted', lsn: at(segmentSize), detail: '' },
    facts: new WalFacts(),
  }
}

interface MadeEnd {
  readonly isAbort: boolean
  readonly isPrepared: boolean
  readonly xid: number
  readonly time: bigint
  readonly place: readonly [number, number]
}

function addEnd(facts: WalFacts, { time, place: [offset, length], ...end }: MadeEnd): void {
  const [lsn, endLsn] = [at(offset), at(offset + length)]
  facts.transactions.add({
    ...end,
    timeHigh: highOf(time),
    timeLow: lowOf(time),
    place: { lsnHigh: highOf(lsn), lsnLow: lowOf(lsn), endHigh: highOf(endLsn), endLow: lowOf(endLsn) },
  })
}

function addWithSubxids(
  facts: WalFacts,
  { end, subxids }: { end: MadeEnd; subxids: readonly number[] },
): void {
  addEnd(facts, end)
  for (const subxid of subxids) facts.transactions.addSubxid(subxid)
}

function addFork(
  facts: WalFacts,
  { id, blocks, limit }: { id: ForkId; blocks: readonly number[]; limit: number | undefined },
): void {
  const fork = facts.changes.forkOf(id)
  for (const block of blocks) fork.add(block)
  if (limit !== undefined) fork.limitTo(limit)
}

function addFirst(
  { firstLsns }: WalFacts,
  { xid, offset, parent }: { xid: number; offset: number | null; parent: number },
): void {
  if (offset !== null) firstLsns.see(xid, highOf(at(offset)), lowOf(at(offset)))
  if (offset === null || parent !== 0) firstLsns.setParent(xid, parent)
}

interface MadeRow extends Omit<RowCount, keyof RelationId> {
  readonly id: RelationId
}

function addRow({ rows }: WalFacts, { id, xid, inserted, updated, deleted }: MadeRow): void {
  const row = rows.indexOf(rows.relationIndexOf(id), xid)
  rows.addInserted(row, inserted)
  for (let done = 0; done < updated; done += 1) rows.addUpdated(row)
  for (let done = 0; done < deleted; done += 1) rows.addDeleted(row)
}

function highOf(value: bigint): number {
  return Number(BigInt.asUintN(32, value >> 32n))
}

function lowOf(value: bigint): number {
  return Number(BigInt.asUintN(32, value))
}

const u32 = fc.oneof(fc.nat(3000), fc.integer({ min: 0, max: 0xffff_ffff }))
const place = fc.nat(segmentSize)
const lsn = place.map(at)
const time = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const timeline = fc.integer({ min: 1, max: 0xffff_ffff }).map(toTimelineId)
const carried = fc.option(fc.uint8Array({ maxLength: 50 }), { nil: undefined })
const relation = { tablespace: u32, database: u32, relation: fc.oneof(fc.constantFrom(16384, 16385), u32) }
const optionalLsn = fc.option(lsn, { nil: undefined })

const control = fc.oneof(
  fc.record({
    kind: fc.constant('checkpoint' as const),
    isShutdown: fc.boolean(),
    hasFullPageWrites: fc.boolean(),
    redoLsn: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(toLsn),
    timeline,
    previousTimeline: timeline,
    time,
    lsn,
    endLsn: lsn,
  }),
  fc.record({
    kind: fc.constant('restore-point' as const),
    name: fc.string({ unit: 'binary', maxLength: 60 }),
    time,
    lsn,
    endLsn: lsn,
  }),
  fc.record({
    kind: fc.constant('end-of-recovery' as const),
    time,
    timeline,
    previousTimeline: timeline,
    lsn,
    endLsn: lsn,
  }),
  fc.record({
    kind: fc.constant('parameter-change' as const),
    walLevel: fc.constantFrom('minimal' as const, 'replica' as const, 'logical' as const),
    lsn,
    endLsn: lsn,
  }),
  fc.record({
    kind: fc.constant('full-page-writes-change' as const),
    hasFullPageWrites: fc.boolean(),
    lsn,
    endLsn: lsn,
  }),
  fc.record({ kind: fc.constant('segment-switch' as const), lsn, endLsn: lsn }),
)

const eventKind = fc.constantFrom(
  ...(['created', 'truncated', 'dropped', 'discarded', 'table-truncated'] as const),
  ...(['database-copied', 'database-logged', 'database-dropped'] as const),
)

const facts = fc
  .record({
    databases: fc.array(fc.tuple(u32, u32), { maxLength: 3 }),
    forks: fc.array(
      fc.record({
        id: fc.record({ ...relation, fork: fc.nat(3) }),
        blocks: fc.oneof(
          fc.array(u32, { maxLength: 30 }),
          fc
            .tuple(fc.nat(100_000), fc.nat(200))
            .map(([first, count]) =>
              Array.from({ length: count }, (_, index) => first + index * (1 + (index % 2))),
            ),
        ),
        limit: fc.option(u32, { nil: undefined }),
      }),
      { maxLength: 6 },
    ),
    ends: fc.array(
      fc.record({
        end: fc.record({
          isAbort: fc.boolean(),
          isPrepared: fc.boolean(),
          xid: u32,
          time,
          place: fc.tuple(fc.nat(segmentSize / 2), fc.nat(segmentSize / 2)),
        }),
        subxids: fc.array(u32, { maxLength: 4 }),
      }),
      { maxLength: 10 },
    ),
    firsts: fc.array(
      fc.record({ xid: fc.integer({ min: 1, max: 0xffff_ffff }), offset: fc.option(place), parent: u32 }),
      { maxLength: 10 },
    ),
    rows: fc.array(
      fc.record({
        id: fc.record(relation),
        xid: u32,
        inserted: fc.nat(300),
        updated: fc.nat(3),
        deleted: fc.nat(3),
      }),
      { maxLength: 10 },
    ),
    events: fc.array(fc.record({ kind: eventKind, ...relation, fork: u32, block: u32, xid: u32, lsn }), {
      maxLength: 5,
    }),
    control: fc.array(control, { maxLength: 5 }),
    unknown: fc.option(
      fc.record({ lsn, rmid: fc.nat(255), info: fc.nat(255), why: fc.string({ maxLength: 40 }) }),
    ),
  })
  .map((wanted) => {
    const made = new WalFacts()
    for (const [tablespace, database] of wanted.databases) made.changes.addDatabase(tablespace, database)
    for (const fork of wanted.forks) addFork(made, fork)
    for (const end of wanted.ends) addWithSubxids(made, end)
    for (const first of wanted.firsts) addFirst(made, first)
    for (const row of wanted.rows) addRow(made, row)
    for (const event of wanted.events) made.relationEvents.add(event)
    for (const record of wanted.control) made.control.push(record)
    if (wanted.unknown !== null) made.noteUnknown(wanted.unknown, wanted.unknown.why)
    return made
  })

const contents: fc.Arbitrary<SegmentContents> = fc.record({
  startLsn: fc.constant(startLsn),
  segmentSize: fc.constant(segmentSize),
  major: fc.constantFrom(14 as const, 15 as const, 16 as const, 17 as const, 18 as const),
  systemIdentifier: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  timeline: u32,
  recordCount: fc.nat(40_000),
  firstRecord: fc.option(fc.record({ lsn, prevLsn: optionalLsn }), { nil: undefined }),
  lastRecordLsn: optionalLsn,
  head: fc.option(
    fc.record({
      missing: u32,
      bytes: carried,
      endLsn: lsn,
      state: fc.constantFrom('whole' as const, 'abandoned' as const, 'broken' as const),
    }),
    { nil: undefined },
  ),
  tail: fc.option(
    fc.record({ lsn, previousLsn: optionalLsn, totalLength: u32, length: u32, bytes: carried }),
    { nil: undefined },
  ),
  end: fc.record({
    reason: fc.constantFrom(
      'segments-exhausted' as const,
      'record-unfinished' as const,
      'record-crc' as const,
    ),
    lsn,
    detail: fc.string({ maxLength: 60 }),
  }),
  facts,
})

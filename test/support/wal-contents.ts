import assert from 'node:assert/strict'
import type { Lsn } from '../../src/domain/lsn.ts'
import { OperationError } from '../../src/domain/operation-error.ts'
import { addRecord } from '../../src/wal/add-record.ts'
import type { ChangedBlocks } from '../../src/wal/changed-blocks.ts'
import { readControlRecord } from '../../src/wal/control-records.ts'
import { joinSegments } from '../../src/wal/join-segments.ts'
import type { WalMajor } from '../../src/wal/page-header.ts'
import { readBlockReferences } from '../../src/wal/record-body.ts'
import { readWalRecords, type WalRecord, type WalSegmentBytes } from '../../src/wal/record-reader.ts'
import type { RelationEvent } from '../../src/wal/relation-events.ts'
import type { RowCount } from '../../src/wal/row-counts.ts'
import { scanSegment } from '../../src/wal/scan-segment.ts'
import type { SegmentContents } from '../../src/wal/segment-contents.ts'
import type { TransactionFact } from '../../src/wal/transaction-ends.ts'
import { readTransactionEnd } from '../../src/wal/transaction-records.ts'
import type { WalEnd } from '../../src/wal/wal-end.ts'
import { WalFacts, type UnknownRecord } from '../../src/wal/wal-facts.ts'

/** What WAL holds, as far as the readers of single records can tell. */
export interface ReadContents {
  readonly lsns: readonly bigint[]
  readonly majors: ReadonlySet<WalMajor>
  /** `tablespace/database/relation/fork block`, sorted and once each. */
  readonly blocks: readonly string[]
  readonly ends: readonly object[]
  readonly control: readonly object[]
  /** Of each xid. */
  readonly firstLsns: ReadonlyMap<number, bigint>
  readonly end: WalEnd
}

/** Reads segments record by record. With `only`, tells of the record there and of no other. */
export function readContents(segments: Iterable<WalSegmentBytes>, only?: bigint): ReadContents {
  const lsns: bigint[] = []
  const majors = new Set<WalMajor>()
  const blocks = new Set<string>()
  const ends: object[] = []
  const control: object[] = []
  const firstLsns = new Map<number, bigint>()
  const reading = readWalRecords(segments)
  for (;;) {
    const { done, value } = reading.next()
    if (done === true) {
      return { lsns, majors, blocks: [...blocks].toSorted(), ends, control, firstLsns, end: value }
    }
    if (only !== undefined && value.lsn !== only) continue
    lsns.push(value.lsn)
    majors.add(value.major)
    for (const name of blockNames(value)) blocks.add(name)
    if (value.xid !== 0 && !firstLsns.has(value.xid)) firstLsns.set(value.xid, value.lsn)
    const transactionEnd = unlessMisread(() => readTransactionEnd(value))
    if (transactionEnd !== undefined) ends.push(transactionEnd)
    const controlRecord = unlessMisread(() => readControlRecord(value))
    if (controlRecord !== undefined) control.push({ ...controlRecord, lsn: value.lsn, endLsn: value.endLsn })
  }
}

/** The scanner tells exactly what the readers of single records tell. */
export function assertSameContents(scanned: SegmentContents, read: ReadContents): void {
  assert.deepEqual([scanned.end.reason, scanned.end.lsn], [read.end.reason, read.end.lsn])
  // They do not name the same page when a record goes on wrongly.
  const page = / \(page at .*\)$/
  assert.equal(scanned.end.detail.replace(page, ''), read.end.detail.replace(page, ''))
  assert.equal(scanned.recordCount, read.lsns.length)
  if (read.lsns.length > 0) assert.equal(scanned.firstRecord?.lsn, read.lsns[0])
  assert.equal(scanned.lastRecordLsn, scanned.tail?.lsn ?? read.lsns.at(-1))
  assert.deepEqual(namedBlocks(scanned.facts), read.blocks)
  assertSameFacts(scanned.facts, read)
}

export function assertSameFacts(facts: WalFacts, read: ReadContents): void {
  const ends = [...facts.transactions].map(({ kind, isPrepared, xid, time, lsn, endLsn }) => {
    return { kind, isPrepared, xid, time, lsn, endLsn }
  })
  assert.deepEqual(ends, read.ends)
  assert.deepEqual(facts.control, read.control)
  const firstLsns = new Map(
    [...facts.firstLsns].flatMap(({ xid, lsn }) => (lsn === undefined ? [] : [[xid, lsn]])),
  )
  assert.deepEqual(firstLsns, read.firstLsns)
}

/** All blocks that the facts name, as ReadContents has them. */
function namedBlocks(facts: WalFacts): readonly string[] {
  const names: string[] = []
  for (const [{ tablespace, database, relation, fork }, blocks] of facts.changes.forks()) {
    for (const block of blocks.blocks()) names.push(`${tablespace}/${database}/${relation}/${fork} ${block}`)
  }
  return names.toSorted()
}

function blockNames(record: WalRecord): readonly string[] {
  return (readBlockReferences(record.bytes, record.major) ?? []).map(
    ({ tablespace, database, relation, fork, block }) =>
      `${tablespace}/${database}/${relation}/${fork} ${block}`,
  )
}

/** The scanner notes as unknown what the readers of single records refuse. */
function unlessMisread<Result>(read: () => Result): Result | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof OperationError) return undefined
    throw error
  }
}

/** What segments that follow each other hold together. */
export interface ScannedWal {
  readonly recordCount: number
  readonly changes: ChangedBlocks
  readonly blocks: readonly string[]
  readonly transactions: readonly TransactionFact[]
  readonly rows: readonly RowCount[]
  readonly events: readonly RelationEvent[]
  readonly unknown: readonly UnknownRecord[]
}

interface ScanRange {
  readonly fromLsn: Lsn
  readonly untilLsn: Lsn
}

/** Scans each segment alone, and puts the records together that cross from one into the next. */
export function scanTogether(segments: readonly WalSegmentBytes[], range: ScanRange): ScannedWal {
  const facts: WalFacts[] = []
  let recordCount = 0
  let before: SegmentContents | undefined
  for (const { startLsn, bytes } of segments) {
    if (startLsn >= range.untilLsn) break
    if (startLsn + BigInt(bytes.length) <= range.fromLsn) continue
    const contents = scanSegment(bytes, { startLsn, ...range })
    assert.ok(['segments-exhausted', 'record-unfinished'].includes(contents.end.reason), contents.end.detail)
    recordCount += contents.recordCount - countBefore(bytes, startLsn, range.fromLsn)
    const between = before === undefined ? undefined : factsBetween(before, contents, range)
    if (between !== undefined) {
      facts.push(between)
      recordCount += 1
    }
    facts.push(contents.facts)
    before = contents
  }
  return gather(facts, recordCount)
}

/** Of the record that crosses from one segment into the next, if any. */
function factsBetween(
  before: SegmentContents,
  after: SegmentContents,
  { fromLsn }: ScanRange,
): WalFacts | undefined {
  const joint = joinSegments(before, after)
  assert.ok(joint.kind === 'joined', joint.kind)
  if (joint.record === undefined) return undefined
  const facts = new WalFacts()
  assert.equal(addRecord(facts, joint.record), undefined)
  return joint.record.lsn < fromLsn ? undefined : facts
}

function countBefore(bytes: Uint8Array, startLsn: Lsn, fromLsn: Lsn): number {
  return fromLsn > startLsn ? scanSegment(bytes, { startLsn, untilLsn: fromLsn }).recordCount : 0
}

function gather(facts: readonly WalFacts[], recordCount: number): ScannedWal {
  const all = new WalFacts()
  for (const { changes } of facts) all.changes.addAll(changes)
  return {
    recordCount,
    changes: all.changes,
    blocks: namedBlocks(all),
    transactions: facts.flatMap(({ transactions }) => [...transactions]),
    rows: facts.flatMap(({ rows }) => [...rows]),
    events: facts.flatMap(({ relationEvents }) => [...relationEvents]),
    unknown: facts.flatMap(({ unknown }) => (unknown === undefined ? [] : [unknown])),
  }
}

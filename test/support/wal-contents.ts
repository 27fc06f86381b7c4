import assert from 'node:assert/strict'
import { OperationError } from '../../src/domain/operation-error.ts'
import { readControlRecord } from '../../src/wal/control-records.ts'
import type { WalMajor } from '../../src/wal/page-header.ts'
import { readBlockReferences } from '../../src/wal/record-body.ts'
import { readWalRecords, type WalRecord, type WalSegmentBytes } from '../../src/wal/record-reader.ts'
import type { SegmentContents } from '../../src/wal/segment-contents.ts'
import { readTransactionEnd } from '../../src/wal/transaction-records.ts'
import type { WalEnd } from '../../src/wal/wal-end.ts'
import type { WalFacts } from '../../src/wal/wal-facts.ts'

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

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { mainData, WalBuilder, type BuiltRecord } from '../../test/support/wal-builder.ts'
import { summarizeSegments } from './segment-summary.ts'

describe('summarizeSegments', () => {
  test('tells the last record, and the commits in the order of the WAL with their latest time (R40, M18)', async () => {
    const builder = new WalBuilder()
    const first = builder.append(commit(10, 300n))
    builder.append(commit(11, 500n))
    builder.append({ ...commit(12, 900n), info: 0x20 })
    const last = builder.append(commit(13, 400n))

    const summary = await summarizeSegments(builder.segments)

    assert.deepEqual([summary.recordCount, summary.commitCount, summary.abortCount], [4, 3, 1])
    assert.deepEqual([summary.firstRecordLsn, summary.lastRecordLsn], [first, last])
    assert.equal(summary.lastRecordEndLsn, last + 40n)
    assert.deepEqual([summary.firstCommit?.xid, summary.firstCommit?.time], [10, 300n])
    assert.deepEqual([summary.lastCommit?.xid, summary.lastCommit?.time], [13, 400n])
    assert.equal(summary.latestCommitTime, 500n)
    assert.equal(summary.end.reason, 'zeroes')
  })

  test('says that the last record goes on in a segment that is not there, and takes an asynchronous source', async () => {
    const builder = new WalBuilder()
    const whole = builder.append(commit(10, 1n))
    const cut = builder.append({ rmid: 21, body: mainData(Buffer.alloc(2_000_000)) })
    builder.append(commit(11, 2n))

    const summary = await summarizeSegments(oneByOne(builder.segments.slice(0, 1)))

    assert.deepEqual([summary.lastRecordLsn, summary.lastRecordEndLsn], [whole, cut])
    assert.deepEqual([summary.end.reason, summary.end.lsn], ['record-unfinished', cut])
    assert.equal(summary.latestCommitTime, 1n)
  })

  test('collects what the server says about itself', async () => {
    const builder = new WalBuilder()
    const point = Buffer.alloc(72)
    point.write('before the deploy', 8)
    const lsn = builder.append({ rmid: 0, info: 0x70, body: mainData(point) })
    builder.append({ rmid: 0, info: 0x80, body: mainData(Buffer.from([0])) })
    builder.switchSegment()

    const summary = await summarizeSegments(builder.segments)

    assert.deepEqual(
      summary.restorePoints.map((seen) => [seen.name, seen.lsn]),
      [['before the deploy', lsn]],
    )
    assert.deepEqual(
      summary.settingsChanges.map(({ kind }) => kind),
      ['full-page-writes-change'],
    )
    assert.equal(summary.lastRecordEndLsn, 0x200000n)
    assert.equal(summary.end.reason, 'segments-exhausted')
  })

  test('finds nothing in nothing', async () => {
    const summary = await summarizeSegments([])

    assert.deepEqual(
      [summary.recordCount, summary.firstRecordLsn, summary.lastCommit],
      [0, undefined, undefined],
    )
  })
})

function commit(xid: number, time: bigint): BuiltRecord {
  const content = Buffer.alloc(8)
  content.writeBigInt64LE(time)
  return { rmid: 1, info: 0, xid, body: mainData(content) }
}

async function* oneByOne<Value>(values: Iterable<Value>): AsyncGenerator<Value> {
  yield* values
}

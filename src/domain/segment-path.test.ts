import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { parseLsn, toLsn, type Lsn } from './lsn.ts'
import { isOperationError } from './operation-error.ts'
import { segmentPath } from './segment-path.ts'
import { timelineAt, type TimelineHistory } from './timeline-history.ts'
import { toTimelineId, type TimelineId } from './timeline.ts'
import { segmentNameOf, toWalSegmentSize } from './wal-segment.ts'

const mebibyte = 1024n * 1024n
const size = toWalSegmentSize(Number(mebibyte))

describe('segmentPath', () => {
  test('names the segments of one timeline in order', () => {
    const path = pathOf(historyOf(1), [1, '0/200028'], '0/400000')

    assert.deepEqual(path, [['000000010000000000000002'], ['000000010000000000000003']])
  })

  test('asks for the younger copy alone where recovery goes on past a fork (R37)', () => {
    const path = pathOf(historyOf(2, [1, '0/380000']), [1, '0/200028'], '0/500000')

    assert.deepEqual(path, [
      ['000000010000000000000002'],
      ['000000020000000000000003'],
      ['000000020000000000000004'],
    ])
  })

  test('takes either copy, the younger one first, where recovery ends at the fork', () => {
    const path = pathOf(historyOf(2, [1, '0/380000']), [1, '0/300028'], '0/380000')

    assert.deepEqual(path, [['000000020000000000000003', '000000010000000000000003']])
  })

  test('has one copy of each where the fork is on a boundary', () => {
    const path = pathOf(historyOf(2, [1, '0/300000']), [1, '0/200028'], '0/400000')

    assert.deepEqual(path, [['000000010000000000000002'], ['000000020000000000000003']])
  })

  test('counts timelines in hex (R29)', () => {
    assert.deepEqual(pathOf(historyOf(17, [16, '0/300000']), [17, '0/300028'], '0/300029'), [
      ['000000110000000000000003'],
    ])
  })

  test('names none where nothing is to be read', () => {
    assert.deepEqual(pathOf(historyOf(1), [1, '0/300028'], '0/300028'), [])
  })

  test('never ends without an end', () => {
    const path = segmentPath(historyOf(1), { from: position([1, '0/300028']), to: undefined }, size)

    assert.equal(path.take(1000).toArray().length, 1000)
  })

  test('refuses a start that is not on the way (R37)', () => {
    for (const start of [
      [1, '0/380000'],
      [2, '0/37FFFF'],
      [3, '0/100000'],
    ] as const) {
      assert.throws(
        () => pathOf(historyOf(2, [1, '0/380000']), start, '0/500000'),
        (error) => isOperationError(error, 'target-unreachable'),
      )
    }
  })

  test('names exactly the files that hold what recovery needs, for any forks', () => {
    fc.assert(
      fc.property(forks(), steps(), steps(), (history, from, to) => {
        const lsn = toLsn(from * step)
        const start = { timeline: timelineAt(history, lsn), lsn }
        const path = segmentPath(history, { from: start, to: toLsn(to * step) }, size)

        assert.deepEqual(
          [...path].map(({ number, candidates }) => [number, candidates.map(({ name }) => name)]),
          filesThatServe(history, from, to),
        )
      }),
      { numRuns: 1000 },
    )
  })
})

type Position = readonly [timeline: number, lsn: string]

function position([timeline, lsn]: Position): { timeline: TimelineId; lsn: Lsn } {
  return { timeline: toTimelineId(timeline), lsn: parseLsn(lsn) }
}

function historyOf(timeline: number, ...ancestors: readonly Position[]): TimelineHistory {
  return {
    timeline: toTimelineId(timeline),
    ancestors: ancestors.map(([id, lsn]) => ({
      timeline: toTimelineId(id),
      endLsn: parseLsn(lsn),
      reason: '',
    })),
  }
}

function pathOf(history: TimelineHistory, from: Position, to: string): string[][] {
  const path = segmentPath(history, { from: position(from), to: parseLsn(to) }, size)
  return [...path].map(({ candidates }) => candidates.map(({ name }) => name))
}

// The model counts in steps of a quarter of a segment and knows who wrote each step of each file.

const step = mebibyte / 4n

function steps(): fc.Arbitrary<bigint> {
  return fc.bigInt({ min: 4n, max: 24n })
}

function forks(): fc.Arbitrary<TimelineHistory> {
  return fc.uniqueArray(steps(), { maxLength: 4 }).map((found) => {
    const rising = found.toSorted((a, b) => Number(a - b))
    return {
      timeline: toTimelineId(rising.length + 1),
      ancestors: rising.map((end, index) => ({
        timeline: toTimelineId(index + 1),
        endLsn: toLsn(end * step),
        reason: '',
      })),
    }
  })
}

function filesThatServe(history: TimelineHistory, from: bigint, to: bigint): [bigint, string[]][] {
  const numbers = Array.from({ length: 6 }, (_, index) => BigInt(index)).filter(
    (number) => from < to && number >= from / 4n && number * 4n < to,
  )
  return numbers.map((number) => {
    const needed = [0n, 1n, 2n, 3n].map((quarter) => number * 4n + quarter).filter((at) => at < to)
    const serving = [...history.ancestors.map(({ timeline }) => timeline), history.timeline]
      .filter((timeline) => hasFile(history, timeline, number))
      .filter((timeline) =>
        needed.every((at) => writerOf(history, timeline, at) === timelineAt(history, toLsn(at * step))),
      )
    return [number, serving.toReversed().map((timeline) => segmentNameOf(timeline, number, size))]
  })
}

/** A timeline's files begin with the one that holds the first byte after its fork. */
function hasFile(history: TimelineHistory, timeline: TimelineId, number: bigint): boolean {
  const forkedAt = history.ancestors[timeline - 2]?.endLsn ?? 0n
  return number >= forkedAt / BigInt(size)
}

/** Up to its fork a timeline's file is a copy of its parent's, from there on its own. */
function writerOf(history: TimelineHistory, timeline: TimelineId, at: bigint): TimelineId {
  return timelineAt({ timeline, ancestors: history.ancestors.slice(0, timeline - 1) }, toLsn(at * step))
}

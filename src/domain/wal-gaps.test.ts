import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { toLsn } from './lsn.ts'
import type { TimelineHistory } from './timeline-history.ts'
import { toTimelineId, type TimelineId } from './timeline.ts'
import { findWalGaps, type SegmentRun } from './wal-gaps.ts'
import { parseSegmentName, toWalSegmentSize } from './wal-segment.ts'

const segmentSize = toWalSegmentSize(16 * 1024 * 1024)

describe('findWalGaps', () => {
  test('finds none in a row without holes, in any order and with duplicates', () => {
    const [coverage] = gapsIn({ 1: [5, 3, 4, 4, 2] })

    assert.deepEqual(coverage?.gaps, [])
    assert.deepEqual(coverage.ranges.map(numbersOf), [[2, 5]])
  })

  test('finds what is missing between two segments, with names and LSNs (R28)', () => {
    const [coverage] = gapsIn({ 1: [1, 2, 5] })

    assert.deepEqual(coverage?.gaps, [
      {
        timeline: 1,
        first: '000000010000000000000003',
        last: '000000010000000000000004',
        count: 2n,
        startLsn: 0x3000000n,
        endLsn: 0x5000000n,
      },
    ])
  })

  test('goes over the end of a group of segments (R29)', () => {
    assert.deepEqual(gapsIn({ 1: [0xff, 0x100] })[0]?.gaps, [])
  })

  test('takes a fork for no gap, though the older timeline has no copy of the segment (R28)', () => {
    const coverage = gapsIn({ 1: [1, 2, 3], 2: [4, 5] }, [fork(2, [1, 4.5])])

    assert.deepEqual(
      coverage.flatMap(({ gaps }) => gaps),
      [],
    )
  })

  test('finds what is missing before and after a fork', () => {
    const coverage = gapsIn({ 1: [1, 2], 2: [6] }, [fork(2, [1, 4.5])])

    assert.deepEqual(
      coverage.map(({ timeline, gaps }) => [timeline, gaps.map(numbersOf)]),
      [
        [1, [[3, 3]]],
        [2, [[4, 5]]],
      ],
    )
  })

  test('ends an older timeline where a fork on a boundary ends it', () => {
    const coverage = gapsIn({ 1: [1, 2], 2: [4] }, [fork(2, [1, 4])])

    assert.deepEqual(
      coverage.map(({ timeline, gaps }) => [timeline, gaps.map(numbersOf)]),
      [
        [1, [[3, 3]]],
        [2, []],
      ],
    )
  })

  test('finds a whole timeline that is missing between its parent and its child', () => {
    const coverage = gapsIn({ 1: [1, 2], 3: [6, 7] }, [fork(3, [1, 3.5], [2, 6.5])])

    assert.deepEqual(
      coverage.map(({ timeline, gaps }) => [timeline, gaps.map(numbersOf)]),
      [
        [1, []],
        [2, [[3, 5]]],
        [3, []],
      ],
    )
  })

  test('takes what lies before the oldest segment for expired, not for missing', () => {
    const coverage = gapsIn({ 2: [6, 7] }, [fork(2, [1, 3.5])])

    assert.deepEqual(
      coverage.flatMap(({ gaps }) => gaps),
      [],
    )
  })

  test('says when the history of a timeline is missing', () => {
    assert.deepEqual(
      gapsIn({ 1: [1], 2: [4] }).map(({ isOriginKnown, gaps }) => [isOriginKnown, gaps.length]),
      [
        [true, 0],
        [false, 0],
      ],
    )
  })

  test('counts a gap as wide as the log at no cost', () => {
    const [coverage] = gapsIn({ 1: [1, 2 ** 39] })

    assert.equal(coverage?.gaps[0]?.count, 2n ** 39n - 2n)
  })

  test('finds exactly what a walk over every segment finds, for any archive', () => {
    fc.assert(
      fc.property(archives(), ({ segments, histories }) => {
        const coverage = gapsIn(segments, histories)

        assert.deepEqual(
          coverage.flatMap(({ gaps }) => gaps.flatMap(spelledOut)).toSorted(),
          missingByWalking(segments, histories).toSorted(),
        )
        assert.deepEqual(
          coverage.flatMap(({ ranges }) => ranges.flatMap(spelledOut)).toSorted(),
          Object.entries(segments)
            .flatMap(([timeline, numbers]) => [...new Set(numbers)].map((number) => `${timeline}:${number}`))
            .toSorted(),
        )
      }),
      { numRuns: 1000 },
    )
  })
})

type Segments = Readonly<Record<number, readonly number[]>>

function gapsIn(
  segments: Segments,
  histories: readonly TimelineHistory[] = [],
): ReturnType<typeof findWalGaps> {
  const archived = Object.entries(segments).map(
    ([timeline, numbers]) => [toTimelineId(Number(timeline)), numbers.map(BigInt)] as const,
  )
  return findWalGaps({ segments: new Map(archived), histories, segmentSize })
}

/** Forks at a segment's start (4) or within it (4.5). */
function fork(timeline: number, ...ancestors: readonly (readonly [number, number])[]): TimelineHistory {
  return {
    timeline: toTimelineId(timeline),
    ancestors: ancestors.map(([id, end]) => ({
      timeline: toTimelineId(id),
      endLsn: toLsn(BigInt(end * segmentSize)),
      reason: '',
    })),
  }
}

function numbersOf({ first, last }: SegmentRun): [number, number] {
  return [
    Number(parseSegmentName(first, segmentSize).number),
    Number(parseSegmentName(last, segmentSize).number),
  ]
}

function spelledOut(run: SegmentRun): string[] {
  const [first, last] = numbersOf(run)
  return Array.from({ length: last - first + 1 }, (_, index) => `${run.timeline}:${first + index}`)
}

/** Timelines 1 to 4, each with a parent among the older ones or with no known history. */
function archives(): fc.Arbitrary<{ segments: Segments; histories: TimelineHistory[] }> {
  const numbers = fc.array(fc.integer({ min: 1, max: 14 }), { maxLength: 8 })
  const parents = fc.array(fc.tuple(fc.nat({ max: 3 }), fc.integer({ min: 2, max: 26 })), {
    minLength: 3,
    maxLength: 3,
  })
  return fc.tuple(fc.array(numbers, { minLength: 4, maxLength: 4 }), parents).map(([lists, found]) => {
    const known = new Map<number, TimelineHistory>([[1, fork(1)]])
    for (const [index, [parent, end]] of found.entries()) {
      const history = known.get(parent)
      const timeline = index + 2
      if (history === undefined || parent >= timeline) continue
      const { ancestors } = fork(timeline, [parent, end / 2])
      known.set(timeline, {
        timeline: toTimelineId(timeline),
        ancestors: [...history.ancestors, ...ancestors],
      })
    }
    return {
      segments: Object.fromEntries(lists.map((list, index) => [index + 1, list])),
      histories: [...known.values()],
    }
  })
}

function missingByWalking(segments: Segments, histories: readonly TimelineHistory[]): string[] {
  const has = (timeline: number, number: number): boolean => segments[timeline]?.includes(number) === true
  const missing = new Set<string>()
  const walk = (timelineOf: (number: number) => TimelineId, upTo: number): void => {
    const numbers = Array.from({ length: upTo + 1 }, (_, number) => number)
    const there = numbers.filter((number) => has(timelineOf(number), number))
    const [first, last] = [there[0] ?? 0, there.at(-1) ?? -1]
    for (const number of numbers.filter((candidate) => candidate >= first && candidate <= last)) {
      if (!has(timelineOf(number), number)) missing.add(`${timelineOf(number)}:${number}`)
    }
  }
  for (const [id, own] of Object.entries(segments)) {
    const timeline = toTimelineId(Number(id))
    walk(() => timeline, Math.max(-1, ...own))
    const history = histories.find((known) => known.timeline === timeline)
    if (history !== undefined) walk((number) => readFrom(history, number), Math.max(-1, ...own))
  }
  return [...missing]
}

/** The timeline that recovery reads a whole segment from: the youngest that has a byte of it, or the first. */
function readFrom({ timeline, ancestors }: TimelineHistory, number: number): TimelineId {
  const end = BigInt(number + 1) * BigInt(segmentSize)
  const index = ancestors.findLastIndex(({ endLsn }) => endLsn < end)
  return ancestors[index + 1]?.timeline ?? timeline
}

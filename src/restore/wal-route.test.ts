import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { toLsn } from '../domain/lsn.ts'
import { segmentPath } from '../domain/segment-path.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import { toTimelineId, type TimelineId } from '../domain/timeline.ts'
import { findWalGaps } from '../domain/wal-gaps.ts'
import { parseSegmentName, toWalSegmentSize } from '../domain/wal-segment.ts'
import { sampleListed } from '../../test/support/sample-listed.ts'
import type { Route } from './choose-route.ts'
import { followWal, type ArchivedNames } from './wal-route.ts'

const segmentSize = toWalSegmentSize(1024 * 1024)
const size = BigInt(segmentSize)

describe('followWal', () => {
  test('gets as far over ranges as segment by segment', () => {
    fc.assert(
      fc.property(anyArchive, ({ route, archived }) => {
        const followed = followWal(route, archived, segmentSize)

        const expected = walk(route, archived)
        const { first, last, count, endLsn, missing, conflict } = followed
        assert.deepEqual({ first, last, count, endLsn, missing, conflict: conflict?.name }, expected)
      }),
      { numRuns: 2000 },
    )
  })

  test('costs nothing for the length of a range', () => {
    const segments = 1_000_000n
    const archived = archivedOf(new Map([[toTimelineId(1), [1n]]]), [])
    const [coverage] = archived.timelines
    const [range] = coverage?.ranges ?? []
    assert.ok(coverage && range)
    const wide = { ...range, count: segments, endLsn: toLsn((segments + 1n) * size) }
    const timelines = [{ ...coverage, ranges: [wide] }]
    const route = { backup: backupAt(1, size + 40n), history: { timeline: toTimelineId(1), ancestors: [] } }
    const startedAt = process.cpuUsage()

    for (let again = 0; again < 1000; again += 1)
      assert.equal(followWal(route, { ...archived, timelines }, segmentSize).count, Number(segments))

    assert.ok(process.cpuUsage(startedAt).user < 5_000_000)
  })
})

/** The same, by asking for one name after the other. */
function walk({ backup, history }: Route, { hasSegment, conflicts }: ArchivedNames) {
  const from = { timeline: backup.timeline, lsn: backup.startLsn }
  const found: string[] = []
  for (const { candidates, number } of segmentPath(history, { from, to: undefined }, segmentSize)) {
    const [wanted] = candidates
    assert.ok(wanted && candidates.length === 1)
    if (hasSegment(wanted.name)) found.push(wanted.name)
    else
      return {
        first: found[0] ?? wanted.name,
        last: found.at(-1),
        count: found.length,
        endLsn: toLsn(number * size),
        missing: wanted.name,
        conflict: found.find((name) => conflicts.has(name)),
      }
  }
  return assert.fail()
}

function archivedOf(
  segments: ReadonlyMap<TimelineId, readonly bigint[]>,
  histories: readonly TimelineHistory[],
): ArchivedNames {
  return {
    timelines: findWalGaps({ segments, histories, segmentSize }),
    conflicts: new Set(),
    hasSegment: (name) => {
      const { timeline, number } = parseSegmentName(name, segmentSize)
      return segments.get(timeline)?.includes(number) ?? false
    },
  }
}

const backupAt = (timeline: number, startLsn: bigint) => ({
  ...sampleListed({ day: 1, timeline }),
  startLsn: toLsn(startLsn),
  stopLsn: toLsn(startLsn + 100n),
})

/** In quarters of a segment, so that forks are also at boundaries, and two in one segment. */
const at = (quarters: number) => toLsn((BigInt(quarters) * size) / 4n + size)

/** Timelines 1 to 3, each out of the one before, most of 30 segments of each, and some with several contents. */
const anyArchive = fc
  .record({
    forks: fc.tuple(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 0, max: 60 })),
    missing: fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 30 })), {
      maxLength: 6,
    }),
    doubled: fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 30 })), {
      maxLength: 3,
    }),
    start: fc.integer({ min: 0, max: 40 }),
    depth: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ forks: [one, two], missing, doubled, start, depth }) => {
    const ancestors = [
      { timeline: toTimelineId(1), endLsn: at(one), reason: '' },
      { timeline: toTimelineId(2), endLsn: at(one + two), reason: '' },
    ]
    const history = { timeline: toTimelineId(depth), ancestors: ancestors.slice(0, depth - 1) }
    const segments = new Map(
      [1, 2, 3].map((timeline) => [
        toTimelineId(timeline),
        Array.from({ length: 30 }, (_, index) => index + 1)
          .filter((number) => !missing.some(([of, which]) => of === timeline && which === number))
          .map(BigInt),
      ]),
    )
    const from = at(Math.min(start, one - 1))
    const archived = archivedOf(segments, [history])
    const conflicts = new Set(
      doubled.map(
        ([timeline, number]) =>
          `${timeline.toString().padStart(8, '0')}00000000${number.toString(16).toUpperCase().padStart(8, '0')}`,
      ),
    )
    return { route: { backup: backupAt(1, from), history }, archived: { ...archived, conflicts } }
  })

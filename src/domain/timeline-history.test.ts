import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { parseLsn, toLsn, type Lsn } from './lsn.ts'
import { isOperationError } from './operation-error.ts'
import {
  formatTimelineHistory,
  isReachable,
  parseTimelineHistory,
  timelineAt,
  timelineSpans,
  type TimelineHistory,
} from './timeline-history.ts'
import { toTimelineId, type TimelineId } from './timeline.ts'

const three = toTimelineId(3)

describe('parseTimelineHistory', () => {
  test('reads what a server writes, the reason for people included', () => {
    const history = parseTimelineHistory(
      three,
      '1\t0/3000060\tno recovery target specified\n\n2\t0/50000A0\tat restore point "before it"\n',
    )

    assert.deepEqual(history, {
      timeline: 3,
      ancestors: [
        { timeline: 1, endLsn: 0x3000060n, reason: 'no recovery target specified' },
        { timeline: 2, endLsn: 0x50000a0n, reason: 'at restore point "before it"' },
      ],
    })
  })

  test('passes over comments and empty lines, and needs no reason', () => {
    const history = parseTimelineHistory(three, '# by hand\n\n  \t\n  1 0/3000060\n   # more\n2\t0/5000000')

    assert.deepEqual(
      history.ancestors.map(({ timeline, reason }) => [timeline, reason]),
      [
        [1, ''],
        [2, ''],
      ],
    )
  })

  test('reads ids as decimal, as the server does within the file (R29)', () => {
    assert.equal(parseTimelineHistory(toTimelineId(17), '16\t0/5000000\t').ancestors[0]?.timeline, 16)
  })

  test('reads an empty history, which names no ancestor', () => {
    assert.deepEqual(parseTimelineHistory(three, '').ancestors, [])
  })

  test('reads falling LSNs, which a recovery to before a fork writes', () => {
    const history = parseTimelineHistory(three, '1\t0/5000000\t\n2\t0/3000000\t\n')

    assert.deepEqual(ends(history), [0x5000000n, 0x3000000n])
  })

  test('refuses what timeline.c refuses, as damage', () => {
    const wrong = [
      'x',
      '1',
      '1\tnowhere',
      '1\t0/',
      '1\t0/0\t',
      '0\t0/3000000\t',
      '4294967296\t0/3000000\t',
      '2\t0/3000000\t\n2\t0/5000000\t',
      '2\t0/3000000\t\n1\t0/5000000\t',
      '3\t0/3000000\t',
      '4\t0/3000000\t',
    ]
    for (const text of wrong) {
      assert.throws(
        () => parseTimelineHistory(three, text),
        (error) => isOperationError(error, 'damaged'),
        text,
      )
    }
  })

  test('answers damaged text with a history or a typed error', () => {
    const text = '1\t0/3000060\tno recovery target specified\n\n2\t0/50000A0\tbefore 2026-02-20\n'
    const flipped = fc
      .tuple(fc.nat({ max: text.length - 1 }), fc.integer({ min: 0, max: 255 }))
      .map(([index, code]) => text.slice(0, index) + String.fromCharCode(code) + text.slice(index + 1))
    const truncated = fc.nat({ max: text.length }).map((length) => text.slice(0, length))

    fc.assert(
      fc.property(fc.oneof(flipped, truncated, fc.string({ unit: 'binary' })), (damaged) => {
        try {
          parseTimelineHistory(three, damaged)
        } catch (error) {
          assert.ok(isOperationError(error, 'damaged'), String(error))
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('formatTimelineHistory', () => {
  test('writes as a server does', () => {
    const text = '1\t0/3000060\tno recovery target specified\n\n2\t0/50000A0\tbefore transaction 700\n'

    assert.equal(formatTimelineHistory(parseTimelineHistory(three, text)), text)
  })

  test('is read back by parseTimelineHistory', () => {
    fc.assert(
      fc.property(histories(), (history) => {
        assert.deepEqual(parseTimelineHistory(history.timeline, formatTimelineHistory(history)), history)
      }),
    )
  })
})

describe('timelineAt', () => {
  test('gives the byte at a fork to the younger timeline', () => {
    const history = historyOf([1, '0/3000060'], [2, '0/50000A0'])

    assert.deepEqual(
      ['0/0', '0/300005F', '0/3000060', '0/500009F', '0/50000A0'].map((lsn) =>
        timelineAt(history, parseLsn(lsn)),
      ),
      [1, 1, 2, 2, 3],
    )
  })

  test('answers as tliOfPointInHistory of the server does, for any history', () => {
    fc.assert(
      fc.property(histories(), smallLsns(), (history, lsn) => {
        assert.equal(timelineAt(history, lsn), tliOfPointInHistory(history, lsn))
      }),
      { numRuns: 1000 },
    )
  })
})

describe('timelineSpans', () => {
  test('covers the whole log once, from its start without an end', () => {
    fc.assert(
      fc.property(histories(), (history) => {
        const spans = timelineSpans(history)

        assert.deepEqual(
          [0n, ...spans.map(({ endLsn }) => endLsn)],
          [...spans.map(({ startLsn }) => startLsn), undefined],
        )
        assert.ok(spans.every(({ startLsn, endLsn }) => endLsn === undefined || startLsn < endLsn))
      }),
    )
  })

  test('leaves out a timeline that was left before it began', () => {
    const spans = timelineSpans(historyOf([1, '0/5000000'], [2, '0/3000000']))

    assert.deepEqual(
      spans.map(({ timeline }) => timeline),
      [1, 3],
    )
  })
})

describe('isReachable', () => {
  const history = historyOf([1, '0/3000060'])

  test('holds for a backup that ended at or before the fork (R37)', () => {
    assert.ok(isReachable(history, at(1, '0/3000060')))
    assert.ok(isReachable(history, at(1, '0/2000100')))
    assert.ok(isReachable(history, at(3, '0/3000100')))
  })

  test('does not hold for a backup that ended after its timeline was left (R37)', () => {
    assert.ok(!isReachable(history, at(1, '0/3000061')))
  })

  test('does not hold for a backup of a sibling timeline (R37)', () => {
    assert.ok(!isReachable(history, at(2, '0/3000100')))
  })
})

function at(timeline: number, lsn: string): { timeline: TimelineId; lsn: Lsn } {
  return { timeline: toTimelineId(timeline), lsn: parseLsn(lsn) }
}

function historyOf(...ancestors: readonly (readonly [number, string])[]): TimelineHistory {
  return {
    timeline: three,
    ancestors: ancestors.map(([timeline, lsn]) => ({
      timeline: toTimelineId(timeline),
      endLsn: parseLsn(lsn),
      reason: 'no recovery target specified',
    })),
  }
}

function ends(history: TimelineHistory): Lsn[] {
  return history.ancestors.map(({ endLsn }) => endLsn)
}

function smallLsns(): fc.Arbitrary<Lsn> {
  return fc.bigInt({ min: 1n, max: 40n }).map(toLsn)
}

function histories(): fc.Arbitrary<TimelineHistory> {
  const ids = fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 6 })
  const reasons = fc.stringMatching(/^[!-~][ -~]{0,20}$/)
  return fc
    .tuple(ids, fc.array(fc.tuple(smallLsns(), reasons), { minLength: 6, maxLength: 6 }))
    .map(([found, ends_]) => {
      const timelines = found.toSorted((a, b) => a - b).map(toTimelineId)
      const timeline = timelines.at(-1) ?? three
      const ancestors = timelines.slice(0, -1).map((id, index) => {
        const [endLsn, reason] = ends_[index] ?? [toLsn(1n), '']
        return { timeline: id, endLsn, reason }
      })
      return { timeline, ancestors }
    })
}

/** Word for word from access/transam/timeline.c: entries from the youngest to the oldest, 0 for no bound. */
function tliOfPointInHistory(history: TimelineHistory, lsn: Lsn): TimelineId | undefined {
  const entries = [...history.ancestors, { timeline: history.timeline, endLsn: 0n }].map(
    ({ timeline, endLsn }, index, all) => ({ timeline, begin: all[index - 1]?.endLsn ?? 0n, end: endLsn }),
  )
  return entries
    .toReversed()
    .find(({ begin, end }) => (begin === 0n || begin <= lsn) && (end === 0n || lsn < end))?.timeline
}

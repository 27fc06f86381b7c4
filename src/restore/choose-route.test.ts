import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { parseLsn } from '../domain/lsn.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { parseRecoveryTarget, type RecoveryTargetOptions } from '../domain/recovery-target.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import { parseTimelineHistory, type TimelineHistory } from '../domain/timeline-history.ts'
import { toTimelineId, type TimelineId } from '../domain/timeline.ts'
import { findWalGaps } from '../domain/wal-gaps.ts'
import { toWalSegmentSize } from '../domain/wal-segment.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { chooseRoute, possibleRoutes, type RouteFacts } from './choose-route.ts'

const mebibyte = toWalSegmentSize(1024 * 1024)

describe('chooseRoute', () => {
  test('takes the newest backup for the end of the archive', () => {
    assert.deepEqual(chosen({}, straight()), { label: 'B', timeline: 1 })
  })

  test('takes the newest backup that ended before a target time, one at that very time too (R36)', () => {
    assert.deepEqual(chosen({ targetTime: '2026-02-02T11:59:59.999999Z' }, straight()), {
      label: 'A',
      timeline: 1,
    })
    assert.deepEqual(chosen({ targetTime: '2026-02-02T12:00:00Z' }, straight()), { label: 'B', timeline: 1 })
  })

  test('takes the newest backup that ended before a target LSN', () => {
    assert.deepEqual(chosen({ targetLsn: '0/8FFFFF' }, straight()), { label: 'A', timeline: 1 })
    assert.deepEqual(chosen({ targetLsn: '0/900000' }, straight()), { label: 'B', timeline: 1 })
  })

  test('refuses a target before the first backup and names the first moment there is', () => {
    assert.match(
      refusal({ targetTime: '2026-01-01T00:00:00Z' }, straight(), 'target-unreachable'),
      /2026-02-01T12:00:00\.000000Z/,
    )
    assert.match(refusal({ targetLsn: '0/100000' }, straight(), 'target-unreachable'), /0\/300000/)
  })

  test('refuses a backup that was asked for and does not fit, instead of taking another (R36)', () => {
    const facts = straight()

    assert.match(
      refusal({ targetLsn: '0/400000', label: 'B' }, facts, 'target-unreachable'),
      /after the target/,
    )
    assert.match(refusal({ label: 'C' }, facts, 'target-unreachable'), /no such backup/)
    assert.match(refusal({}, { ...facts, backups: [] }, 'target-unreachable'), /found none/)
  })

  test('takes a backup that keeps only its own WAL for nothing but its own end', () => {
    const facts = factsOf({
      backups: [withOwnWal(backup('A', 1, [2, 3])), backup('B', 1, [7, 8])],
      histories: [],
      wal: { 1: [2, 12] },
    })

    assert.match(
      refusal({ targetLsn: '0/400000' }, facts, 'target-unreachable'),
      /first moment that can be reached is 2026-02-02T12/,
    )
    assert.match(
      refusal({ targetTime: '2026-02-01T13:00:00Z', label: 'A' }, facts, 'target-unreachable'),
      /nothing is kept/,
    )
    assert.match(refusal({ targetName: 'x', label: 'A' }, facts, 'target-unreachable'), /nothing is kept/)
    assert.deepEqual(chosen({ targetImmediate: true, label: 'A' }, facts), { label: 'A', timeline: 1 })
    assert.deepEqual(chosen({ targetImmediate: true }, facts), { label: 'B', timeline: 1 })
    assert.deepEqual(chosen({}, facts), { label: 'B', timeline: 1 })
  })

  test('leads to the end of a backup without the history of its timeline, but not past it', () => {
    const facts = factsOf({
      backups: [withOwnWal(backup('A', 2, [2, 3]))],
      histories: [],
      wal: { 2: [2, 3] },
    })

    assert.deepEqual(chosen({ targetImmediate: true, label: 'A' }, facts), { label: 'A', timeline: 2 })
    const unreadable = new Map([[toTimelineId(2), new OperationError('damaged', 'reading it')]])
    const damaged = { ...facts, unreadableHistories: unreadable }
    assert.match(refusal({ targetImmediate: true, label: 'A' }, damaged, 'damaged'), /reading it/)
    const onward = { ...facts, backups: [backup('A', 2, [2, 3])] }
    assert.match(
      refusal({ targetTimeline: 'current', label: 'A' }, onward, 'wal-missing'),
      /00000002.history/,
    )
  })

  test('does not take the WAL that an old backup keeps for itself for a branch (R37)', () => {
    const facts = factsOf({
      backups: [withOwnWal(backup('A', 2, [5, 6])), backup('B', 3, [20, 21])],
      histories: ['2: 1 0/400000', '3: 1 0/480000'],
      wal: { 2: [5, 5], 3: [20, 24] },
    })

    assert.deepEqual(chosen({}, facts), { label: 'B', timeline: 3 })
    assert.deepEqual(chosen({ targetImmediate: true, label: 'A' }, facts), { label: 'A', timeline: 2 })
  })

  test('says what can be restored when every backup keeps only its own WAL', () => {
    const facts = factsOf({
      backups: [withOwnWal(backup('A', 1, [2, 3]))],
      histories: [],
      wal: { 1: [2, 2] },
    })

    assert.match(refusal({}, facts, 'target-unreachable'), /"--target-immediate"/)
    assert.deepEqual(chosen({ targetImmediate: true }, facts), { label: 'A', timeline: 1 })
  })

  test('follows a promotion, and stays where it is told to (R37)', () => {
    const facts = factsOf({
      backups: [backup('A', 1, [2, 3])],
      histories: ['2: 1 0/A80000'],
      wal: { 1: [2, 10], 2: [10, 20] },
    })

    assert.equal(chosen({}, facts).timeline, 2)
    assert.equal(chosen({ targetTimeline: 'latest' }, facts).timeline, 2)
    assert.equal(chosen({ targetTimeline: 'current' }, facts).timeline, 1)
    assert.equal(chosen({ targetTimeline: '1' }, facts).timeline, 1)
    assert.equal(chosen({ targetImmediate: true }, facts).timeline, 1)
  })

  test('asks which way when two timelines came out of the backup: the diamond of R37', () => {
    const facts = factsOf({
      backups: [backup('A', 1, [2, 3])],
      histories: ['2: 1 0/A80000', '3: 1 0/B80000'],
      wal: { 1: [2, 11], 2: [10, 20], 3: [11, 20] },
    })

    assert.match(refusal({}, facts, 'target-ambiguous'), /found 2 .*0\/1500000.*, 3 .*0\/1500000/)
    assert.equal(chosen({ targetTimeline: '2' }, facts).timeline, 2)
    assert.equal(chosen({ targetTimeline: 'latest' }, facts).timeline, 3)
  })

  test('asks even when the newest backup is behind a fork, and not when that backup was asked for', () => {
    const facts = factsOf({
      backups: [backup('A', 1, [2, 3]), backup('B', 3, [12, 13])],
      histories: ['2: 1 0/A80000', '3: 1 0/B80000'],
      wal: { 1: [2, 11], 2: [10, 20], 3: [11, 20] },
    })

    assert.match(refusal({}, facts, 'target-ambiguous'), /found 2 .*, 3 /)
    assert.deepEqual(chosen({ label: 'B' }, facts), { label: 'B', timeline: 3 })
  })

  test('asks when the old primary went on behind the fork: a copy was promoted beside it', () => {
    const facts = factsOf({
      backups: [backup('A', 1, [2, 3])],
      histories: ['2: 1 0/A80000'],
      wal: { 1: [2, 14], 2: [10, 20] },
    })

    assert.match(refusal({}, facts, 'target-ambiguous'), /found 1 .*0\/F00000.*, 2 /)
  })

  test('leaves out a backup that was taken behind the fork to the asked timeline (R37)', () => {
    const facts = factsOf({
      backups: [backup('A', 1, [2, 3]), backup('B', 1, [12, 13])],
      histories: ['2: 1 0/A80000'],
      wal: { 1: [2, 14], 2: [10, 20] },
    })

    assert.equal(chosen({ targetTimeline: '2' }, facts).label, 'A')
    assert.match(
      refusal({ targetTimeline: '2', label: 'B' }, facts, 'target-unreachable'),
      /does not pass through its end/,
    )
  })

  test('does not take the newest backup of a branch that was abandoned by a recovery (R37)', () => {
    const facts = abandoned()

    for (const asked of [{}, { targetTime: '2026-02-05T00:00:00Z' }, { targetImmediate: true }])
      assert.match(refusal(asked, facts, 'target-ambiguous'), /found 1 .*0\/B00000.*, 2 .*0\/E00000/)
    assert.deepEqual(chosen({ targetTimeline: 'latest' }, facts), { label: 'A', timeline: 2 })
    assert.deepEqual(chosen({ targetTimeline: '2' }, facts), { label: 'A', timeline: 2 })
    assert.deepEqual(chosen({ targetTimeline: '1' }, facts), { label: 'B', timeline: 1 })
    assert.deepEqual(chosen({ label: 'B' }, facts), { label: 'B', timeline: 1 })
    assert.deepEqual(chosen({ label: 'A', targetImmediate: true }, facts), { label: 'A', timeline: 1 })
    assert.match(
      refusal({ label: 'B', targetTimeline: 'latest' }, facts, 'target-unreachable'),
      /does not pass through its end/,
    )
  })

  test('asks for a branch that no backup leads to any more', () => {
    const facts = abandoned()

    const backups = facts.backups.slice(1)
    assert.match(refusal({}, { ...facts, backups }, 'target-ambiguous'), /found 1 .*, 2 /)
  })

  test('counts a backup behind the fork as WAL behind it', () => {
    const facts = factsOf({
      backups: [backup('A', 1, [2, 3]), backup('B', 1, [8, 9])],
      histories: ['2: 1 0/680000'],
      wal: { 1: [2, 6], 2: [6, 7] },
    })

    assert.match(refusal({}, facts, 'target-ambiguous'), /found 1 .*, 2 /)
  })

  test('asks when a recovery has archived nothing but its history yet, not when that expired', () => {
    const facts = factsOf({
      backups: [backup('A', 1, [2, 3]), backup('B', 1, [8, 9])],
      histories: ['2: 1 0/680000'],
      wal: { 1: [2, 12] },
    })

    assert.match(refusal({}, facts, 'target-ambiguous'), /found 1 .*, 2 /)
    assert.deepEqual(chosen({}, { ...facts, backups: facts.backups.slice(1) }), { label: 'B', timeline: 1 })
  })

  test('does not ask for an LSN that lies before every fork', () => {
    const facts = abandoned()

    assert.deepEqual(chosen({ targetLsn: '0/67FFFF' }, facts), { label: 'A', timeline: 1 })
    refusal({ targetLsn: '0/680000' }, facts, 'target-ambiguous')
  })

  test('counts a timeline whose history is missing or unreadable, unless another one tells it', () => {
    const facts = factsOf({
      backups: [backup('A', 1, [2, 3]), backup('B', 1, [8, 9])],
      histories: [],
      wal: { 1: [2, 12], 2: [6, 13] },
    })
    const damage = new OperationError('damaged', 'reading "00000002.history": flipped')
    const damaged = { ...facts, unreadableHistories: new Map([[toTimelineId(2), damage]]) }

    for (const unknown of [facts, damaged]) {
      assert.doesNotMatch(refusal({}, unknown, 'target-ambiguous'), /for example 1/)
      assert.match(refusal({}, unknown, 'target-ambiguous'), /found 1 .*, 2 .*history/)
      assert.match(refusal({ targetLsn: '0/400000' }, unknown, 'target-ambiguous'), /found 1 .*, 2 /)
      assert.equal(chosen({ targetTimeline: '1' }, unknown).label, 'B')
      assert.equal(chosen({ targetImmediate: true, label: 'A' }, unknown).timeline, 1)
    }
    assert.match(refusal({ targetTimeline: '2' }, damaged, 'damaged'), /flipped/)
    assert.match(refusal({ targetTimeline: 'latest' }, damaged, 'damaged'), /flipped/)
    const told = factsOf({
      backups: facts.backups,
      histories: ['3: 1 0/A80000, 2 0/C80000'],
      wal: { 1: [2, 10], 2: [10, 12], 3: [12, 15] },
    })
    assert.deepEqual(chosen({}, told), { label: 'B', timeline: 3 })
  })

  test('names the history file that is missing', () => {
    assert.match(refusal({ targetTimeline: '26' }, straight(), 'wal-missing'), /0000001A\.history/)
  })
})

describe('possibleRoutes', () => {
  test('passes over backups that are not on the asked timeline, unless one was asked for', () => {
    const facts = factsOf({
      backups: [backup('A', 1, [2, 3]), backup('B', 1, [4, 5]), backup('C', 2, [11, 12])],
      histories: ['2: 1 0/680000'],
      wal: { 1: [2, 10], 2: [6, 13] },
    })
    for (const options of [{ targetXid: '800' }, { targetName: 'x' }]) {
      const target = parseRecoveryTarget({ ...options, targetTimeline: '1' })

      const routes = possibleRoutes({ target, label: undefined }, facts)

      assert.deepEqual(
        routes.map((route) => route.backup.label),
        [labelOf('B'), labelOf('A')],
      )
      assert.throws(() => possibleRoutes({ target, label: labelOf('C') }, facts), {
        code: 'target-unreachable',
      })
    }
  })
})

type Asked = RecoveryTargetOptions & { readonly label?: string }

function chosen({ label, ...target }: Asked, facts: RouteFacts): { label: string; timeline: number } {
  const request = {
    target: parseRecoveryTarget(target),
    label: label === undefined ? undefined : labelOf(label),
  }
  const { backup: found, history } = chooseRoute(request, facts)
  return { label: String.fromCodePoint(64 + Number(found.label.slice(6, 8))), timeline: history.timeline }
}

function refusal(
  asked: Asked,
  facts: RouteFacts,
  code: 'target-unreachable' | 'target-ambiguous' | 'wal-missing' | 'damaged',
): string {
  try {
    chosen(asked, facts)
  } catch (error) {
    assert.ok(isOperationError(error, code), String(error))
    return `${error.message} ${error.hint}`
  }
  return assert.fail('it was not refused')
}

const straight = (): RouteFacts =>
  factsOf({ backups: [backup('A', 1, [2, 3]), backup('B', 1, [8, 9])], histories: [], wal: { 1: [2, 20] } })

/** B was taken at the end of timeline 1; then a recovery to a moment before it went on as timeline 2. */
const abandoned = (): RouteFacts =>
  factsOf({
    backups: [backup('A', 1, [2, 3]), backup('B', 1, [8, 9])],
    histories: ['2: 1 0/680000'],
    wal: { 1: [2, 10], 2: [6, 13] },
  })

/** `start` and `stop` count megabytes of WAL; A ended on the first of February at noon, B on the second. */
function backup(letter: string, timeline: number, [start, stop]: readonly [number, number]): ListedBackup {
  const day = letter.charCodeAt(0) - 64
  return {
    label: labelOf(letter),
    type: 'full',
    major: 17,
    timeline: toTimelineId(timeline),
    startLsn: parseLsn(`0/${(start * 1024 * 1024).toString(16)}`),
    stopLsn: parseLsn(`0/${(stop * 1024 * 1024).toString(16)}`),
    startedAt: parseTargetTime(`2026-02-0${day}T11:00:00Z`),
    stoppedAt: parseTargetTime(`2026-02-0${day}T12:00:00Z`),
    revision: 1,
    fileCount: 1,
    restoredBytes: 1,
    storedBytes: 1,
    damagedPageCount: 0,
    manifestDigest: '',
    isPinned: false,
    walRetention: 'onward',
  }
}

const withOwnWal = (listed: ListedBackup): ListedBackup => ({ ...listed, walRetention: 'own' })

function labelOf(letter: string): ListedBackup['label'] {
  return parseBackupLabel(`2026020${letter.charCodeAt(0) - 64}-110000F`)
}

/** Histories as `TIMELINE: PARENT FORK, PARENT FORK`; the archived segments of each timeline, first and last number. */
function factsOf({
  backups,
  histories,
  wal,
}: {
  backups: readonly ListedBackup[]
  histories: readonly string[]
  wal: Readonly<Record<number, readonly [number, number]>>
}): RouteFacts {
  const parsed = new Map<TimelineId, TimelineHistory>(
    histories.map((text) => {
      const [timeline = '', line = ''] = text.split(': ')
      const history = parseTimelineHistory(toTimelineId(Number(timeline)), line.replaceAll(', ', '\n'))
      return [history.timeline, history]
    }),
  )
  const segments = new Map(
    Object.entries(wal).map(([timeline, [first, last]]) => [
      toTimelineId(Number(timeline)),
      Array.from({ length: last - first + 1 }, (_, index) => BigInt(first + index)),
    ]),
  )
  return {
    backups,
    histories: parsed,
    unreadableHistories: new Map(),
    timelines: findWalGaps({ segments, histories: parsed.values(), segmentSize: mebibyte }),
  }
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { parseLsn } from '../domain/lsn.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { parseRecoveryTarget, type RecoveryTargetOptions } from '../domain/recovery-target.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { findWalGaps } from '../domain/wal-gaps.ts'
import { segmentNameOf, toWalSegmentSize } from '../domain/wal-segment.ts'
import { planStop, stopSettings } from './recovery-stop.ts'
import { followWal, type WalRoute } from './wal-route.ts'

const mebibyte = toWalSegmentSize(1024 * 1024)
const one = toTimelineId(1)

describe('planStop', () => {
  test('turns the end of the archive into its last record (R40)', () => {
    assert.deepEqual(settings({}), { recovery_target_lsn: '0/CFFF00', recovery_target_inclusive: 'on' })
  })

  test('stops at a commit later than a target time, written in UTC with microseconds (R42)', () => {
    assert.deepEqual(settings({ targetTime: '2026-02-03T01:00:00.000001+01:00' }), {
      recovery_target_time: '2026-02-03 00:00:00.000001+00',
      recovery_target_inclusive: 'on',
    })
  })

  test('refuses a target time that no commit follows, and says which is the last', () => {
    assert.match(
      refusal({ targetTime: '2026-02-04T00:00:00Z' }, 'target-unreachable'),
      /2026-02-04T00:00:00\.000000Z/,
    )
    assert.deepEqual(settings({ targetTime: '2026-02-04T00:00:00Z', targetExclusive: true }), {
      recovery_target_time: '2026-02-04 00:00:00.000000+00',
      recovery_target_inclusive: 'off',
    })
  })

  test('takes an LSN behind the start of the last record for the end of the archive', () => {
    assert.deepEqual(settings({ targetLsn: '0/CFFF00', targetExclusive: true }), {
      recovery_target_lsn: '0/CFFF00',
      recovery_target_inclusive: 'off',
    })
    assert.deepEqual(settings({ targetLsn: '0/CFFF80', targetExclusive: true }), settings({}))
    assert.match(refusal({ targetLsn: '0/CFFF81' }, 'target-unreachable'), /ends at 0\/CFFF80/)
  })

  test('names the first missing segment of a gap, and reaches what is before it (R36)', () => {
    const gap = [2, 3, 4, 6, 7, 8]

    assert.match(refusal({}, 'wal-missing', gap), /000000010000000000000005 .* while later ones are/)
    assert.match(refusal({ targetLsn: '0/600000' }, 'wal-missing', gap), /000000010000000000000005/)
    assert.equal(settings({ targetLsn: '0/400000' }, gap)['recovery_target_lsn'], '0/400000')
  })

  test('refuses when WAL of the backup itself is missing (M5)', () => {
    assert.match(refusal({ targetImmediate: true }, 'wal-missing', [2]), /000000010000000000000003/)
    assert.match(refusal({}, 'wal-missing', []), /000000010000000000000002/)
  })

  test('refuses a way over a segment with two contents, and reaches what is before it', () => {
    const conflicts = new Set([segmentNameOf(one, 5n, mebibyte)])
    const all = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]

    assert.match(refusal({ targetLsn: '0/600000' }, 'target-ambiguous', all, conflicts), /several contents/)
    assert.equal(settings({ targetLsn: '0/400000' }, all, conflicts)['recovery_target_lsn'], '0/400000')
  })

  test('refuses such a segment on the way to the end, to a time, and to an LSN in the last record (R26)', () => {
    const conflicts = new Set([segmentNameOf(one, 5n, mebibyte)])

    for (const options of [{}, { targetTime: '2026-02-03T00:00:00Z' }, { targetLsn: '0/CFFF80' }])
      assert.match(refusal(options, 'target-ambiguous', complete, conflicts), /000000010000000000000005/)
  })

  test('needs the segment in which the record at an LSN begins', () => {
    const conflicts = new Set([segmentNameOf(one, 5n, mebibyte)])

    refusal({ targetLsn: '0/500000' }, 'target-ambiguous', complete, conflicts)
  })
})

const backup = {
  label: parseBackupLabel('20260201-110000F'),
  type: 'full',
  major: 17,
  timeline: one,
  startLsn: parseLsn('0/200028'),
  stopLsn: parseLsn('0/300100'),
  startedAt: parseTargetTime('2026-02-01T11:00:00Z'),
  stoppedAt: parseTargetTime('2026-02-01T12:00:00Z'),
  revision: 1,
  fileCount: 1,
  restoredBytes: 1,
  storedBytes: 1,
  damagedPageCount: 0,
  manifestDigest: '',
  isPinned: false,
  walRetention: 'onward',
} as const

function routeOf(numbers: readonly number[], conflicts: ReadonlySet<string>): WalRoute {
  const names = new Set<string>(numbers.map((number) => segmentNameOf(one, BigInt(number), mebibyte)))
  const segments = new Map([[one, numbers.map(BigInt)]])
  const archived = {
    hasSegment: (name: string) => names.has(name),
    conflicts,
    timelines: findWalGaps({ segments, histories: [], segmentSize: mebibyte }),
  }
  return followWal({ backup, history: { timeline: one, ancestors: [] } }, archived, mebibyte)
}

const complete = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]

// oxlint-disable-next-line max-params -- a table of cases reads better so
function settings(
  options: RecoveryTargetOptions,
  numbers = complete,
  conflicts: ReadonlySet<string> = new Set(),
): Record<string, string> {
  const walRoute = routeOf(numbers, conflicts)
  const last = walRoute.endLsn
  const archiveEnd = {
    lastRecordLsn: parseLsn(`0/${(last - 0x100n).toString(16)}`),
    lastRecordEndLsn: parseLsn(`0/${(last - 0x80n).toString(16)}`),
    lastCommitAt: parseTargetTime('2026-02-04T00:00:00Z'),
  }
  const facts = {
    backup,
    walRoute,
    archiveEnd: walRoute.count === 0 ? undefined : archiveEnd,
    located: undefined,
  }
  return stopSettings(planStop(parseRecoveryTarget(options), facts))
}

function refusal(
  options: RecoveryTargetOptions,
  code: 'target-unreachable' | 'wal-missing' | 'target-ambiguous',
  ...where: [numbers?: number[], conflicts?: ReadonlySet<string>]
): string {
  try {
    settings(options, ...where)
  } catch (error) {
    assert.ok(isOperationError(error, code), String(error))
    return error.message
  }
  return assert.fail('it was not refused')
}

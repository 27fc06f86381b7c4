import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isOperationError, type OperationError } from './operation-error.ts'
import { describeRecoveryTarget, parseRecoveryTarget, type RecoveryTargetOptions } from './recovery-target.ts'

describe('parseRecoveryTarget', () => {
  test('goes to the end of the archive and promotes when nothing is said', () => {
    assert.deepEqual(parseRecoveryTarget({}), { kind: 'latest', action: 'promote' })
  })

  test('reads each kind of target (R41)', () => {
    assert.deepEqual(parseRecoveryTarget({ targetTime: '2000-01-01T00:00:00.000001Z' }), {
      kind: 'time',
      time: 946_684_800_000_001n,
      inclusive: true,
      action: 'promote',
    })
    assert.deepEqual(parseRecoveryTarget({ targetLsn: '0/3000028', targetExclusive: true }), {
      kind: 'lsn',
      lsn: 0x3000028n,
      inclusive: false,
      action: 'promote',
    })
    assert.deepEqual(parseRecoveryTarget({ targetXid: '18446744073709551615', targetAction: 'pause' }), {
      kind: 'xid',
      xid: 2n ** 64n - 1n,
      inclusive: true,
      action: 'pause',
    })
    assert.deepEqual(parseRecoveryTarget({ targetName: 'before it', targetTimeline: '3' }), {
      kind: 'name',
      name: 'before it',
      action: 'promote',
      timeline: 3,
    })
    assert.deepEqual(parseRecoveryTarget({ targetImmediate: true, targetTimeline: 'current' }), {
      kind: 'immediate',
      action: 'promote',
      timeline: 'current',
    })
  })

  test('refuses two targets and names both (R41)', () => {
    const error = refusal({ targetTime: 'nonsense', targetXid: '700' })

    assert.match(error.message, /--target-time and --target-xid/)
  })

  test('refuses an LSN given as transaction id, which a server reads as transaction 0 (R41)', () => {
    const error = refusal({ targetXid: '0/3000028' })

    assert.match(error.message, /"0\/3000028" is not a transaction id/)
    assert.match(error.hint ?? '', /--target-lsn/)
  })

  test('refuses transaction ids that no transaction has', () => {
    for (const targetXid of [
      '',
      '0',
      '2',
      '4294967296',
      '-3',
      '+3',
      '0x3',
      ' 3',
      '3x',
      '18446744073709551616',
    ]) {
      refusal({ targetXid })
    }
  })

  test('takes --target-exclusive only where it means something (R41)', () => {
    refusal({ targetExclusive: true })
    refusal({ targetExclusive: true, targetImmediate: true })
    assert.match(refusal({ targetExclusive: true, targetName: 'x' }).message, /--target-name/)
  })

  test('refuses restore point names that no server takes', () => {
    for (const targetName of ['', 'x'.repeat(64), 'ä'.repeat(32), 'a\0b', 'a\nb']) refusal({ targetName })
    assert.equal(parseRecoveryTarget({ targetName: 'x'.repeat(63) }).kind, 'name')
  })

  test('refuses unknown actions and timelines', () => {
    refusal({ targetAction: 'stop' })
    refusal({ targetTimeline: '0000000A' })
  })

  test('does not take an option that was left out for one that was given', () => {
    const options = {
      targetTime: undefined,
      targetLsn: '0/3000028',
      targetImmediate: false,
      targetExclusive: false,
    }

    assert.equal(parseRecoveryTarget(options).kind, 'lsn')
  })

  test('answers any options with a target or a typed error', () => {
    const text = fc.option(fc.string({ unit: 'binary' }), { nil: undefined })
    const flag = fc.option(fc.boolean(), { nil: undefined })
    const options = fc.record(
      {
        targetTime: text,
        targetLsn: text,
        targetXid: text,
        targetName: text,
        targetImmediate: flag,
        targetTimeline: text,
        targetExclusive: flag,
        targetAction: text,
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(options, (given) => {
        try {
          parseRecoveryTarget(given)
        } catch (error) {
          assert.ok(isOperationError(error, 'usage'), String(error))
        }
      }),
    )
  })
})

describe('describeRecoveryTarget', () => {
  test('says where, on which timeline and what then, with times in UTC (R42)', () => {
    const described = (
      [
        {},
        { targetTime: '2026-02-20 15:30:00 Europe/Berlin' },
        { targetTime: '2026-02-20 15:30:00+01:00', targetExclusive: true, targetTimeline: '3' },
        { targetLsn: '0/3000028', targetTimeline: 'latest', targetAction: 'pause' },
        { targetXid: '700', targetExclusive: true },
        { targetName: 'before "it"', targetAction: 'shutdown' },
        { targetImmediate: true, targetTimeline: 'current' },
      ] satisfies RecoveryTargetOptions[]
    ).map((options) => describeRecoveryTarget(parseRecoveryTarget(options)))

    assert.deepEqual(described, [
      'to the end of the archive, then promote',
      'up to and including 2026-02-20 14:30:00.000000 UTC, then promote',
      'up to, but not including, 2026-02-20 14:30:00.000000 UTC on timeline 3, then promote',
      'up to and including LSN 0/3000028 on the latest timeline, then pause',
      'up to, but not including, transaction 700, then promote',
      String.raw`to restore point "before \"it\"", then shutdown`,
      "to the end of the backup on the backup's own timeline, then promote",
    ])
  })
})

function refusal(options: RecoveryTargetOptions): OperationError {
  try {
    parseRecoveryTarget(options)
  } catch (error) {
    assert.ok(isOperationError(error, 'usage'), String(error))
    return error
  }
  return assert.fail(`${JSON.stringify(options)} was accepted`)
}

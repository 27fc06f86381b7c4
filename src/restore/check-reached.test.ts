import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseLsn } from '../domain/lsn.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import { toTimelineId } from '../domain/timeline.ts'
import type { RecoveryStatus } from '../postgres/recovery-status.ts'
import { checkReached, stopLineOf } from './check-reached.ts'
import { insufficientSettings } from './recovery-server-settings.ts'

const atLeast = parseLsn('0/5000000')

describe('checkReached', () => {
  test('accepts a stop that the server announced at the planned place (M7)', () => {
    const line = 'recovery stopping after WAL location (LSN) "0/4FFFF00"'

    assert.equal(
      checkReached(
        { kind: 'lsn', lsn: parseLsn('0/4FFFF00'), inclusive: true, atLeast },
        { status: status(), line },
      ),
      undefined,
    )
  })

  test('refuses a pause that no target explains', () => {
    assert.match(
      checkReached({ kind: 'immediate', atLeast }, { status: status(), line: undefined }) ?? '',
      /without having reached/,
    )
  })

  test('refuses replay that ended too early (R40)', () => {
    const short = { ...status(), replayLsn: parseLsn('0/4FFFFFF') }
    const line = 'recovery stopping after reaching consistency'

    assert.match(
      checkReached({ kind: 'immediate', atLeast }, { status: short, line }) ?? '',
      /expected replay to reach LSN 0\/5000000/,
    )
  })

  test('refuses another transaction, another restore point, and a commit behind the target time', () => {
    const commit = 'recovery stopping after commit of transaction 7421, time 2026-02-20 15:30:00.1+00'
    const time = parseTargetTime('2026-02-20T15:30:00Z')

    const problems = [
      checkReached({ kind: 'xid', xid: 741n, inclusive: true, atLeast }, { status: status(), line: commit }),
      checkReached(
        { kind: 'name', name: 'here', atLeast },
        { status: status(), line: 'recovery stopping at restore point "there"' },
      ),
      checkReached(
        { kind: 'time', time, inclusive: true, atLeast },
        { status: { ...status(), replayedCommitTime: '2026-02-20 15:30:00.000001+00' }, line: commit },
      ),
    ]

    assert.ok(
      problems.every((problem) => problem !== undefined),
      String(problems),
    )
    const fits = { kind: 'xid', xid: (1n << 32n) + 7421n, inclusive: true, atLeast } as const
    assert.equal(checkReached(fits, { status: status(), line: commit }), undefined)
  })
})

describe('stopLineOf', () => {
  test('finds the words of the last stop in a log', () => {
    const log =
      '2026-02-20 15:30:00.123 UTC [42] LOG:  recovery stopping at restore point "x", time 2026\n... LOG:  pausing at the end of recovery\n'

    assert.equal(stopLineOf(log), 'recovery stopping at restore point "x", time 2026')
    assert.equal(stopLineOf('LOG:  recovery has paused'), undefined)
  })
})

describe('insufficientSettings', () => {
  test('reads what the WAL needs out of a warning or a failure (M17)', () => {
    const log = [
      'WARNING:  hot standby is not possible because of insufficient parameter settings',
      'DETAIL:  max_connections = 30 is a lower setting than on the primary server, where its value was 60.',
      'FATAL:  recovery aborted because of insufficient parameter settings',
      'DETAIL:  max_prepared_transactions = 0 is a lower setting than on the primary server, where its value was 7.',
    ].join('\n')

    assert.deepEqual(insufficientSettings(log), { max_connections: '60', max_prepared_transactions: '7' })
    assert.equal(insufficientSettings('LOG:  redo starts'), undefined)
  })
})

function status(): RecoveryStatus {
  return {
    isInRecovery: true,
    replayLsn: atLeast,
    replayedCommitTime: undefined,
    pauseState: 'paused',
    timeline: toTimelineId(1),
  }
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import { judgeLastDump } from './judge-last-dump.ts'

const label = parseBackupLabel('20260216-030000L')
const dump = { label, stoppedAt: parseTargetTime('2026-02-16T03:00:10Z') }

describe('judgeLastDump', () => {
  test('warns when there is none, and when it is older than a week and a day', () => {
    assert.deepEqual(judgeLastDump([], 0), {
      state: 'warning',
      message: 'there is none',
      hint: 'Take the first one with "holdfast dump --all".',
    })
    assert.equal(judgeLastDump([dump], Date.UTC(2026, 1, 24, 3)).state, 'ok')
    assert.equal(judgeLastDump([dump], Date.UTC(2026, 1, 24, 4)).state, 'warning')
  })
})

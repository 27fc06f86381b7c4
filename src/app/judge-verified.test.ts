import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import type { Damage } from '../verify/damage.ts'
import { nothingProven } from '../verify/verify-state.ts'
import { judgeVerified } from './judge-verified.ts'

const day = 24 * 60 * 60 * 1000
const proven = { ...nothingProven, oldestProofAtMs: 100 * day }
const damage: Damage = {
  key: 'k',
  kind: 'pack',
  problem: 'p',
  foundAtMs: 1,
  seenAtMs: 1,
  backups: [parseBackupLabel('20260220-153000F')],
  lost: [],
  group: undefined,
}

describe('judgeVerified', () => {
  test('fails for known damage and names the backups that it costs', () => {
    const { state, message } = judgeVerified({ ...proven, damage: [damage] }, 101 * day)

    assert.equal(state, 'failed')
    assert.match(message, /20260220-153000F/)
  })

  test('is content with a proof of everything, warns when it is old, and tells when there is none', () => {
    assert.equal(judgeVerified(proven, 101 * day).state, 'ok')
    assert.equal(judgeVerified(proven, 150 * day).state, 'warning')
    assert.equal(judgeVerified(nothingProven, 101 * day).state, 'info')
    assert.equal(judgeVerified(undefined, 101 * day).state, 'info')
  })

  test('warns of the oldest proof also when something was never proven', () => {
    const groups = [{ group: 'packs/x/0', objects: 1, bytes: 1, provenAtMs: 60 * day }]

    assert.equal(judgeVerified({ ...nothingProven, groups }, 101 * day).state, 'warning')
  })

  test('takes a proof from the future for none', () => {
    assert.equal(judgeVerified(proven, 99 * day).state, 'info')
  })
})

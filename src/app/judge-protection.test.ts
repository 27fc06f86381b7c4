import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { judgeProtection, type KnownProtection } from './judge-protection.ts'

const dayMs = 24 * 60 * 60 * 1000
const retention = { mode: 'compliance', days: 30 } as const

describe('judgeProtection', () => {
  for (const [what, known, state, message] of [
    ['finds locked objects well', { retention }, 'ok', /locked for 30 days \(compliance\)$/],
    [
      'warns when the newest backup stands on data whose lock has ended',
      { retention, oldestNeededMs: 31 * dayMs },
      'warning',
      /needs data that is 31 days old, whose lock has ended/,
    ],
    ['fails where nothing can be locked', { retention, canLock: false }, 'failed', /does not lock objects/],
    ['finds versions well enough', { keepsVersions: true }, 'ok', /keeps versions of what is deleted/],
    ['says that deleted is gone without versions', { keepsVersions: false }, 'info', /is gone/],
    ['says that it does not know', { keepsVersions: undefined }, 'info', /not known: the keys may not ask/],
  ] as const) {
    test(what, () => {
      const found = judgeProtection(knownOf(known))

      assert.equal(found.state, state)
      assert.match(found.message, message)
    })
  }
})

function knownOf({
  retention: locked,
  oldestNeededMs,
  ...protection
}: Partial<KnownProtection & KnownProtection['protection']>): KnownProtection {
  return {
    retention: locked,
    oldestNeededMs: oldestNeededMs ?? 10 * dayMs,
    protection: { keepsVersions: true, canLock: undefined, ...protection },
  }
}

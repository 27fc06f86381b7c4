import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { planTransaction } from './ledger-transaction.ts'
import { seededRandom } from './seeded-random.ts'

describe('planTransaction', () => {
  test('gives the same transactions for the same seed', () => {
    assert.deepEqual(planMany(7), planMany(7))
    assert.notDeepEqual(planMany(7), planMany(8))
  })

  test('rolls back, uses savepoints and writes long memos now and then, and never moves within one account', () => {
    const plans = planMany(1)

    for (const [share, matches] of [
      [7, plans.filter(({ end }) => end === 'ROLLBACK')],
      [10, plans.filter(({ withdrawn }) => withdrawn.length === 1)],
      [5, plans.filter(({ body }) => body.length > 3000)],
    ] as const) {
      assert.ok(Math.abs(matches.length / 20 - share) < 3, `${matches.length} of 2000, expected ${share} %`)
    }
    assert.ok(plans.every(({ body }) => new Set(body.match(/where id = \d+/g)).size === 2))
  })
})

function planMany(seed: number): ReturnType<typeof planTransaction>[] {
  const random = seededRandom(seed)
  let id = 0
  return Array.from({ length: 2000 }, () => planTransaction(10, random, () => (id += 1)))
}

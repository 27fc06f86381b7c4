import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { testContext, testRepository } from '../../test/support/repository.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { packKey } from '../repository/object-keys.ts'
import { condenseDamage, expandDamage, mostListed } from './condense-damage.ts'
import type { Damage } from './damage.ts'
import { readVerifyState, writeVerifyState } from './verify-state-store.ts'
import { damagedLabels, nothingProven } from './verify-state.ts'

const clusterId = 'ab12ab12ab12ab12'
const label = parseBackupLabel('20260216-153000F')
const backups = Array.from({ length: 40 }, (_, index) =>
  parseBackupLabel(`20260216-15${String(index).padStart(2, '0')}00I`),
)

function missing(number: number, changes: Partial<Damage> = {}): Damage {
  const key = packKey(clusterId, { label, number })
  const problem = `reading pack "${key}": it is missing`
  return {
    key,
    kind: 'pack',
    problem,
    foundAtMs: 1,
    seenAtMs: 1,
    group: undefined,
    backups: [label],
    lost: [],
    ...changes,
  }
}

describe('condenseDamage', () => {
  test('joins neighbouring packs with one problem and one cost, and nothing else', () => {
    const damage = [3, 1, 2, 7].map((number) => missing(number))
    const other = missing(4, { backups: [] })

    const condensed = condenseDamage([...damage, other])

    assert.deepEqual(
      condensed.map(({ key, packCount }) => [key.slice(-6), packCount]),
      [
        ['000001', 3],
        ['000004', undefined],
        ['000007', undefined],
      ],
    )
    assert.match(condensed[0]?.problem ?? '', /000001": it is missing \(and 2 packs after it\)/)
    assert.deepEqual(new Set(condensed.flatMap(expandDamage)), new Set([...damage, other]))
  })

  test('lists so many, and says how many more there are and what all of them cost', () => {
    const damage = Array.from({ length: mostListed + 10 }, (_, index) => missing(2 * index + 1))
    const last = missing(99_999, { backups })

    const condensed = condenseDamage([...damage, last])

    assert.equal(condensed.length, mostListed)
    assert.match(condensed.at(-1)?.problem ?? '', /^12 more damages/)
    assert.deepEqual(new Set(condensed.at(-1)?.backups), new Set([label, ...backups]))
  })

  test('makes of all the damage that there can be a state that can be stored', async () => {
    const context = testContext()
    const repository = await testRepository(context)
    const damage = Array.from({ length: 20_000 }, (_, index) =>
      missing(index + 1, { backups: index % 2 === 0 ? backups : backups.slice(1) }),
    )

    const condensed = condenseDamage(damage)
    await writeVerifyState(repository, { clusterId, state: { ...nothingProven, damage: condensed } }, context)

    const state = await readVerifyState(repository, clusterId, context)
    assert.deepEqual(state?.damage, condensed)
    assert.deepEqual(damagedLabels(state), new Set(backups))
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { Damage } from './damage.ts'
import { planVerify, type VerifyScope } from './plan-verify.ts'
import type { ProvenGroup } from './verify-state.ts'

const day = 24 * 60 * 60 * 1000
const nowMs = 1000 * day
const everything: VerifyScope = { kind: 'everything' }

const stored = (id: string, bytes = 100) => ({ id, objects: 16, bytes })
const proof = (group: string, provenAtMs: number, bytes = 100): ProvenGroup => ({
  group,
  objects: 16,
  bytes,
  provenAtMs,
})
const damageIn = (group: string): Damage => ({
  key: group,
  kind: 'pack',
  problem: 'p',
  foundAtMs: 1,
  seenAtMs: 1,
  backups: [],
  lost: [],
  group,
})

interface Facts {
  readonly groups: readonly ReturnType<typeof stored>[]
  readonly proofs?: readonly ProvenGroup[]
  readonly damage?: readonly Damage[]
  readonly runStartedAtMs?: number
  readonly scope?: VerifyScope
}

const plan = ({ groups, proofs = [], damage = [], runStartedAtMs, scope = everything }: Facts) =>
  planVerify({ groups, state: { groups: proofs, damage, runStartedAtMs }, scope, nowMs })

const ids = ({ order }: ReturnType<typeof plan>): readonly string[] => order.map(({ id }) => id)

describe('planVerify', () => {
  test('begins with what was never proven and goes on with the least recent proof', () => {
    const proofs = [proof('a', nowMs - day), proof('b', nowMs - 3 * day), proof('c', nowMs - 2 * day)]

    assert.deepEqual(ids(plan({ groups: ['a', 'b', 'new', 'c'].map((id) => stored(id)), proofs })), [
      'new',
      'b',
      'c',
      'a',
    ])
  })

  test('takes a group for not proven when it has changed, is damaged, or was proven in the future', () => {
    const proofs = [
      proof('grown', nowMs - day, 99),
      proof('damaged', nowMs - day),
      proof('future', nowMs + 1),
      proof('old', nowMs - 9 * day),
    ]
    const groups = ['old', 'grown', 'damaged', 'future'].map((id) => stored(id))

    assert.deepEqual(ids(plan({ groups, proofs, damage: [damageIn('damaged')] })), [
      'grown',
      'damaged',
      'future',
      'old',
    ])
  })

  test('passes over what a run that was interrupted within a week has proven', () => {
    const runStartedAtMs = nowMs - 2 * day
    const proofs = [
      proof('before', runStartedAtMs - 1),
      proof('in', runStartedAtMs),
      proof('damaged', nowMs - day),
    ]
    const groups = ['before', 'in', 'damaged', 'new'].map((id) => stored(id))
    const facts = { groups, proofs, damage: [damageIn('damaged')], runStartedAtMs }

    const resumed = plan(facts)

    assert.deepEqual(ids(resumed), ['damaged', 'new', 'before'])
    assert.equal(resumed.runStartedAtMs, runStartedAtMs)
    assert.equal(resumed.passedOverBytes, 100)
    assert.equal(plan({ ...facts, scope: { kind: 'anew' } }).order.length, 4)
    assert.equal(plan({ ...facts, scope: { kind: 'anew' } }).runStartedAtMs, nowMs)
    assert.equal(plan({ ...facts, runStartedAtMs: nowMs - 7 * day }).order.length, 4)
    assert.equal(plan({ ...facts, runStartedAtMs: nowMs + 1 }).order.length, 4)
  })

  test('takes so many samples that everything is proven in the end, whatever the sizes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(1000), { minLength: 1, maxLength: 40 }),
        fc.constantFrom(5, 10, 33, 50, 100),
        (sizes, percent) => {
          const groups = sizes.map((bytes, index) => stored(String(index), bytes + 1))
          const proofs = new Map<string, ProvenGroup>()
          for (let run = 0; run < Math.ceil(100 / percent); run += 1) {
            const sample = plan({ groups, proofs: [...proofs.values()], scope: { kind: 'sample', percent } })
            for (const { id, bytes } of sample.order) proofs.set(id, proof(id, nowMs - day + run, bytes))
          }
          assert.equal(proofs.size, groups.length)
        },
      ),
    )
  })

  test('looks at what is damaged in addition to a sample', () => {
    const groups = ['a', 'b', 'c', 'd'].map((id) => stored(id))
    const proofs = groups.map(({ id }, index) => proof(id, index + 1))
    const scope = { kind: 'sample', percent: 25 } as const

    assert.deepEqual(ids(plan({ groups, proofs, damage: [damageIn('d')], scope })), ['d', 'a'])
  })

  test('samples old proofs too where more is new each day than a sample takes', () => {
    const dayMs = 24 * 60 * 60 * 1000
    const old = Array.from({ length: 50 }, (_, index) => stored(`old ${index}`))
    const proofs = new Map(old.map(({ id, bytes }) => [id, proof(id, dayMs, bytes)]))
    for (let today = 2; today <= 60; today += 1) {
      const fresh = Array.from({ length: 50 }, (_, index) => stored(`new ${today} ${index}`))
      const { order } = planVerify({
        groups: [...old, ...fresh],
        state: { groups: [...proofs.values()], damage: [], runStartedAtMs: undefined },
        scope: { kind: 'sample', percent: 10 },
        nowMs: today * dayMs,
      })
      for (const { id, bytes } of order) proofs.set(id, proof(id, today * dayMs, bytes))
    }

    const leastRecent = Math.min(...old.map(({ id }) => proofs.get(id)?.provenAtMs ?? 0))
    assert.ok(leastRecent > 45 * dayMs, String(leastRecent / dayMs))
  })
})

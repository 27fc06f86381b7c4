import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { bytesOf, replaceObject } from '../../test/support/repository-samples.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { parseLsn } from '../domain/lsn.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { verifyKey, verifyPrefix } from '../repository/object-keys.ts'
import type { Repository } from '../repository/open-repository.ts'
import { writeObject } from '../repository/sealed-store.ts'
import type { Damage } from './damage.ts'
import { readVerifyState, writeVerifyState } from './verify-state-store.ts'
import {
  damagedLabels,
  decodeVerifyState,
  encodeVerifyState,
  nothingProven,
  provenAt,
  type VerifyState,
} from './verify-state.ts'

const clusterId = '00000000000000aa'
const full = parseBackupLabel('20260220-153000F')
const later = parseBackupLabel('20260221-153000F')
const context = testContext()

const damage: Damage = {
  key: `${clusterId}/data/${full}/000001`,
  kind: 'pack',
  problem: 'its seal does not match',
  foundAtMs: 5,
  seenAtMs: 7,
  backups: [full],
  lost: [
    {
      timeline: toTimelineId(1),
      fromLsn: parseLsn('0/3000000'),
      fromTime: parseTargetTime('2026-02-20T15:31:00Z'),
      until: { backup: later, lsn: parseLsn('0/5000100'), time: parseTargetTime('2026-02-21T15:31:00Z') },
    },
    {
      timeline: toTimelineId(2),
      fromLsn: parseLsn('0/7000000'),
      fromTime: parseTargetTime('2026-02-21T15:31:00Z'),
      until: undefined,
    },
  ],
  group: `data/${full}/0`,
  packCount: 2,
}

const state: VerifyState = {
  writtenAtMs: 1000,
  lastCompletedAtMs: 900,
  runStartedAtMs: undefined,
  oldestProofAtMs: 800,
  groups: [{ group: `data/${full}/0`, objects: 16, bytes: 2 ** 40, provenAtMs: 850 }],
  backups: [
    { label: full, provenAtMs: 800 },
    { label: later, provenAtMs: 850 },
  ],
  damage: [damage],
}

const storedKeys = async ({ store }: Repository): Promise<readonly string[]> => {
  const keys: string[] = []
  for await (const { key } of store.list(verifyPrefix(clusterId))) keys.push(key)
  return keys
}

describe('a verify state', () => {
  test('comes back as it was written', () => {
    assert.deepEqual(decodeVerifyState(encodeVerifyState(state), 'k'), state)
    assert.deepEqual(decodeVerifyState(encodeVerifyState(nothingProven), 'k'), nothingProven)
  })

  test('is damaged when it was changed, and never anything worse', () => {
    const bytes = encodeVerifyState(state)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
        const changed = bytes.with(at, byte)
        try {
          decodeVerifyState(changed, 'k')
        } catch (error) {
          assert.ok(isOperationError(error, 'damaged') || isOperationError(error, 'format-newer'))
        }
      }),
    )
  })

  test('of a later format is refused as such', () => {
    const later99 = new TextEncoder().encode('{"version":99}')

    assert.throws(
      () => decodeVerifyState(later99, 'k'),
      (error) => isOperationError(error, 'format-newer'),
    )
  })
})

describe('damagedLabels', () => {
  test('names the backups that a damage costs', () => {
    assert.deepEqual([...damagedLabels(state)], [full])
    assert.deepEqual([...damagedLabels(undefined)], [])
  })
})

describe('provenAt', () => {
  test('is the time of the proof, and nothing for a damaged or unknown backup', () => {
    assert.equal(provenAt(state, later), 850)
    assert.equal(provenAt(state, full), undefined)
    assert.equal(provenAt(state, parseBackupLabel('20260222-153000F')), undefined)
    assert.equal(provenAt(undefined, later), undefined)
  })
})

describe('readVerifyState', () => {
  test('gives nothing when nothing was verified', async () => {
    assert.equal(await readVerifyState(await testRepository(context), clusterId, context), undefined)
  })

  test('gives the newest state, of which only the last two are kept', async () => {
    const repository = await testRepository(context)
    for (const writtenAtMs of [1, 2, 3, 4])
      await writeVerifyState(repository, { clusterId, state: { ...state, writtenAtMs } }, context)

    assert.equal((await readVerifyState(repository, clusterId, context))?.writtenAtMs, 4)
    assert.deepEqual(await storedKeys(repository), [verifyKey(clusterId, 3), verifyKey(clusterId, 4)])
  })

  test('passes over a damaged state for the one before it, and says so', async () => {
    const repository = await testRepository(context)
    const listening = testContext()
    await writeVerifyState(repository, { clusterId, state }, context)
    await repository.store.putIfAbsent(verifyKey(clusterId, 2), new Uint8Array(100))

    assert.deepEqual(await readVerifyState(repository, clusterId, listening), state)
    assert.equal(listening.events.filter(({ kind }) => kind === 'warning').length, 1)
  })

  const headerChanges: readonly (readonly [string, number, number])[] = [
    ['format version', 8, 3],
    ['epoch of its keys', 12, 3],
    ['kind', 9, 4],
  ]
  for (const [what, offset, byte] of headerChanges) {
    test(`passes over a state whose header says another ${what}: only the seal proves it`, async () => {
      const repository = await testRepository(context)
      await writeVerifyState(repository, { clusterId, state }, context)
      await writeVerifyState(repository, { clusterId, state: nothingProven }, context)
      const key = verifyKey(clusterId, 2)
      const sealed = (await repository.store.get(key)) ?? assert.fail('there is no state')
      await replaceObject(repository, key, sealed.with(offset, byte))

      assert.deepEqual(await readVerifyState(repository, clusterId, context), state)
    })
  }

  test('passes over a state that the medium cannot read', async () => {
    const repository = await testRepository(context)
    await writeVerifyState(repository, { clusterId, state }, context)
    await writeVerifyState(repository, { clusterId, state: nothingProven }, context)
    const cause = Object.assign(new Error('i/o error'), { code: 'EIO' })
    const error = new OperationError('store-failed', 'reading: i/o error', { cause })
    const at = { operation: 'get', subject: verifyKey(clusterId, 2) } as const
    const store = new FaultyStore(repository.store, [{ kind: 'fail', when: 'before', error, at }])

    assert.deepEqual(await readVerifyState({ ...repository, store }, clusterId, context), state)
  })

  test('refuses a state that opens and is of a later format', async () => {
    const repository = await testRepository(context)
    const name = { kind: 'verify-state', key: verifyKey(clusterId, 1) } as const
    await writeObject(repository, { name, payload: bytesOf('{"version":99}') }, context)

    await assert.rejects(readVerifyState(repository, clusterId, context), { code: 'format-newer' })
  })
})

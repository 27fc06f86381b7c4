import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { readLeases } from '../repository/lease-beat.ts'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { testContext } from '../../test/support/repository.ts'
import { holdRestoreLease } from './hold-restore-lease.ts'

describe('the lease of a restore', () => {
  test('is held while it runs, and given back', async () => {
    const context = testContext()
    const place = await createPlace()
    const held = async (): Promise<readonly boolean[]> => {
      const request = { clusterId: place.cluster.id, self: readProcessIdentity() }
      return (await readLeases(place.repository, request, context)).map(({ isHeld }) => isHeld)
    }
    {
      await using lease = await holdRestoreLease(place, context)
      assert.equal(lease.isProtected, true)
      assert.deepEqual(await held(), [true])
    }
    assert.deepEqual(await held(), [false])
    assert.deepEqual(context.events, [])
  })

  test('that cannot be taken is said, and the restore goes on', async () => {
    const context = testContext()
    const place = await createPlace()
    const error = new Error('read-only')
    const at = { operation: 'putIfAbsent' } as const
    const store = new FaultyStore(place.repository.store, [{ kind: 'fail', error, when: 'before', at }])
    await using lease = await holdRestoreLease(
      { ...place, repository: { ...place.repository, store } },
      context,
    )

    assert.equal(lease.isProtected, false)
    assert.match(JSON.stringify(context.events), /does not know of this restore: read-only/)
  })

  test('that was lost is said once and taken again, and the restore is not ended for it', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const place = await createPlace()
    await using lease = await holdRestoreLease(place, context)
    await clock.advance(100_000, { isSuspended: true })
    for (let second = 0; second < 10; second += 1) await clock.advance(20_000)

    assert.equal(context.events.length, 1)
    assert.equal(lease.isProtected, false) // there was a gap
    const request = { clusterId: place.cluster.id, self: readProcessIdentity() }
    const leases = await readLeases(place.repository, request, context)
    assert.deepEqual(leases.filter(({ isHeld }) => isHeld).length, 1)
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { isOperationError } from '../domain/operation-error.ts'
import { readProcessIdentity, type ProcessIdentity } from '../platform/process-identity.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import type { ListedObject } from '../storage/object-store.ts'
import { acquireLease } from './lease.ts'
import { readLeases, type LeaseRequest } from './lease-beat.ts'
import { leasePrefix } from './object-keys.ts'
import type { Repository } from './open-repository.ts'

const self = readProcessIdentity()
const elsewhere: ProcessIdentity = { ...self, host: 'other-host', bootId: 'another boot' }
const request = (holder: ProcessIdentity = self): LeaseRequest => ({
  clusterId: '00000000000000aa',
  scope: 'backup',
  purpose: 'backup of cluster "main"',
  holder,
})
const isLost = (error: unknown): boolean => isOperationError(error, 'lease-lost')
const isBusy = (error: unknown): boolean => isOperationError(error, 'busy')

async function keysOf({ store }: Repository): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of store.list(leasePrefix('00000000000000aa', 'backup'))) keys.push(key)
  return keys
}

describe('a lease', () => {
  test('is held by one, released, and taken by the next with a higher token', async () => {
    const context = testContext({ clock: new ManualClock() })
    const repository = await testRepository(context)
    const first = await acquireLease(repository, request(), context)

    await assert.rejects(acquireLease(repository, request(), context), isBusy)
    await first.confirm()
    await first[Symbol.asyncDispose]()
    await using second = await acquireLease(repository, request(), context)
    assert.ok(second.token > first.token)
  })

  test('goes to exactly one of many that ask at once', async () => {
    const context = testContext({ clock: new ManualClock() })
    const repository = await testRepository(context)
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, () => acquireLease(repository, request(), context)),
    )

    const winners = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    assert.equal(winners.length, 1)
    for (const result of results) if (result.status === 'rejected') assert.ok(isBusy(result.reason))
    await winners[0]?.[Symbol.asyncDispose]()
  })

  test('is taken over at once from a process of this machine that is dead', async () => {
    const context = testContext({ clock: new ManualClock() })
    const repository = await testRepository(context)
    const dead = { ...self, pid: 2 ** 22 + 1 }
    const holder = await acquireLease(repository, request(dead), context)
    await using taker = await acquireLease(repository, request(), context)

    assert.ok(taker.token > holder.token)
    await assert.rejects(holder.confirm(), isLost)
    assert.ok(holder.lost.aborted)
    await holder[Symbol.asyncDispose]()
    await taker.confirm()
  })

  test('of another host is respected while it beats, and passed over when it has been silent', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const repository = await testRepository(context)
    await using holder = await acquireLease(repository, request(elsewhere), context)
    for (let beat = 0; beat < 20; beat += 1) await clock.advance(20_000)

    await assert.rejects(acquireLease(repository, request(), context), isBusy)
    assert.equal((await keysOf(repository)).length, 3, 'the claim and the two newest beats')
    await clock.advance(181_000, { isSuspended: true })
    await using taker = await acquireLease(repository, request(), context)
    assert.equal(taker.token, 2)
    assert.equal(holder.token, 1)
  })

  test('is lost by a holder that slept, before it changes anything', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const repository = await testRepository(context)
    await using holder = await acquireLease(repository, request(), context)
    await clock.advance(61_000, { isSuspended: true })

    await assert.rejects(holder.confirm(), isLost)
  })

  test('is not lost to a listing that is older than it', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const repository = await testRepository(context)
    await (await acquireLease(repository, request(), context))[Symbol.asyncDispose]()
    const { store } = repository
    const earlier: ListedObject[] = []
    for await (const beat of store.list(leasePrefix('00000000000000aa', 'backup'))) earlier.push(beat)
    await using holder = await acquireLease(repository, request(), context)
    const list = store.list.bind(store)
    for (const stale of [earlier, []]) {
      store.list = async function* () {
        store.list = list
        yield* await Promise.resolve(stale)
      }

      const confirmed = holder.confirm()
      await setTimeout(50)
      await clock.advance(1000)

      await confirmed
    }
  })

  test('that cannot be released is a warning, not a failure of the work', async () => {
    const context = testContext({ clock: new ManualClock() })
    const repository = await testRepository(context)
    const store = new FaultyStore(repository.store)
    {
      await using lease = await acquireLease({ ...repository, store }, request(), context)
      await lease.confirm()
      store.plan({ kind: 'fail', error: new Error('store is gone'), when: 'before' })
    }

    assert.match(JSON.stringify(context.events), /could not release the lease.*store is gone/)
  })

  test('is not taken from a machine of the same name that was booted apart', async () => {
    const context = testContext({ clock: new ManualClock() })
    const repository = await testRepository(context)
    await using holder = await acquireLease(repository, request({ ...self, bootId: 'another' }), context)

    await assert.rejects(acquireLease(repository, request(), context), isBusy)
    await holder.confirm()
  })

  test('is lost when it cannot be renewed, before its lifetime ends', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const repository = await testRepository(context)
    const error = new Error('store is down')
    const at = { operation: 'putIfAbsent', subject: '.0000000' } as const
    const store = new FaultyStore(repository.store)
    await using holder = await acquireLease({ ...repository, store }, request(), context)
    store.plan({ kind: 'fail', error, when: 'before', at })
    await clock.advance(20_000)
    assert.equal(holder.lost.aborted, false)
    await clock.advance(20_000)

    assert.equal(holder.lost.aborted, true)
  })

  test('is seen by others, held or given back', async () => {
    const repository = await testRepository(testContext())
    const context = testContext()
    const known = () => readLeases(repository, { clusterId: '00000000000000aa', self }, context)
    assert.deepEqual(await known(), [])
    {
      await using held = new AsyncDisposableStack()
      held.use(await acquireLease(repository, request(elsewhere), context))
      held.use(await acquireLease(repository, { ...request(elsewhere), scope: 'restore-1' }, context))
      assert.deepEqual(
        (await known()).map(({ scope, token, isHeld }) => ({ scope, token, isHeld })),
        [
          { scope: 'backup', token: 1, isHeld: true },
          { scope: 'restore-1', token: 1, isHeld: true },
        ],
      )
    }
    assert.deepEqual(
      (await known()).map(({ isHeld }) => isHeld),
      [false, false],
    )
  })

  test('whose newest beat cannot be read is passed over when that beat is old enough', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const repository = await testRepository(context)
    await using held = new AsyncDisposableStack()
    held.use(await acquireLease(repository, request(elsewhere), context))
    const [newest = ''] = (await keysOf(repository)).toReversed()
    const at = { operation: 'get', subject: newest } as const
    const store = new FaultyStore(
      repository.store,
      Array.from({ length: 9 }, () => ({ kind: 'flip-bit', bitIndex: 500, at }) as const),
    )
    const damaged = { ...repository, store }
    await assert.rejects(acquireLease(damaged, request(), context), isBusy)

    await clock.advance(0)
    clock.skip(181_000)
    await using next = await acquireLease(damaged, request(), context)
    assert.equal(next.token, 2)
  })

  test('that was silent for its lifetime stays lost, also when its holder wakes and beats again (R65)', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const repository = await testRepository(context)
    await using lease = await acquireLease(repository, request(), context)
    await clock.advance(600_000, { isSuspended: true })
    for (let beat = 0; beat < 3; beat += 1) await clock.advance(20_000)

    await assert.rejects(lease.confirm(), isLost)
    assert.ok(lease.lost.aborted)
  })

  test('beats of a clock that is an hour behind or ahead: it is watched, not taken for dead (T2)', async () => {
    for (const skewMs of [-3_600_000, 3_600_000]) {
      const clock = new ManualClock()
      const here = testContext({ clock })
      const there = testContext({
        clock: {
          now: () => clock.now() + skewMs,
          monotonic: () => clock.monotonic(),
          sleep: (ms, signal) => clock.sleep(ms, signal),
        },
      })
      const repository = await testRepository(here)
      await using lease = await acquireLease(repository, request(elsewhere), there)
      await assert.rejects(acquireLease(repository, request(), here), isBusy)
      const known = await readLeases(repository, { clusterId: '00000000000000aa', self }, here)
      assert.deepEqual(
        known.map(({ isHeld }) => isHeld),
        [true],
      )
      await lease.confirm()
    }
  })

  test('whose last beat is of the future is passed over when nobody beats any more (T1)', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const dead = testContext({
      clock: {
        now: () => clock.now() + 365 * 86_400_000,
        monotonic: () => 0,
        sleep: (_ms, signal) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true })
          }),
      },
    })
    const repository = await testRepository(context)
    await using held = new AsyncDisposableStack()
    held.use(await acquireLease(repository, request(elsewhere), dead))

    await using next = await acquireLease(repository, request(), context)
    assert.equal(next.token, 2)
  })
})

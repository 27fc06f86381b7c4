import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { systemClock } from '../src/platform/system-clock.ts'
import { MemoryStore } from '../src/storage/memory/memory-store.ts'
import { FaultyStore, type Fault } from './support/faulty-store.ts'
import { collect, describeStoreContract } from './support/store-contract.ts'

describeStoreContract('the faulty store without faults', async () => {
  const store = makeStore()
  return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
})

describe('the faulty store', () => {
  test('fails the planned call before anything happened', async () => {
    const store = makeStore({
      kind: 'fail',
      error: lost,
      when: 'before',
      at: { operation: 'putIfAbsent', call: 2 },
    })

    await store.putIfAbsent('a', bytes)
    await assert.rejects(store.putIfAbsent('b', bytes), lost)

    assert.equal(await store.putIfAbsent('b', bytes), 'created')
  })

  test('loses the answer of a call whose effect happened (N3)', async () => {
    const store = makeStore({
      kind: 'fail',
      error: lost,
      when: 'after',
      at: { operation: 'putIfAbsent', call: 1 },
    })

    await assert.rejects(store.putIfAbsent('a', bytes), lost)

    assert.equal(await store.putIfAbsent('a', bytes), 'exists')
  })

  test('counts calls by what they are about', async () => {
    const store = makeStore({ kind: 'fail', error: lost, when: 'before', at: { subject: 'wal/', call: 2 } })

    await store.putIfAbsent('wal/1', bytes)
    await store.head('other')
    await assert.rejects(store.head('wal/1'), lost)

    assert.deepEqual(
      store.calls.map(({ operation, subject, fault }) => [operation, subject, fault]),
      [
        ['putIfAbsent', 'wal/1', undefined],
        ['head', 'other', undefined],
        ['head', 'wal/1', 'fail'],
      ],
    )
  })

  test('turns one bit over, and only in the answer', async () => {
    const store = makeStore({ kind: 'flip-bit', bitIndex: 9 })
    await store.putIfAbsent('a', bytes)

    assert.deepEqual(await store.get('a'), Uint8Array.of(1, 0, 3))

    store.heal()
    assert.deepEqual(await store.get('a'), bytes)
  })

  test('cuts an answer short', async () => {
    const store = makeStore({ kind: 'short-read', keepBytes: 2 })
    await store.putIfAbsent('a', bytes)

    assert.deepEqual(await store.get('a'), bytes.slice(0, 2))
  })

  test('answers with another object', async () => {
    const store = makeStore({ kind: 'wrong-object', key: 'b', at: { subject: 'a' } })
    await store.putIfAbsent('a', bytes)
    await store.putIfAbsent('b', new Uint8Array(0))

    assert.deepEqual(await store.get('a'), new Uint8Array(0))
    assert.equal((await store.head('a'))?.sizeBytes, 0)
  })

  test('loses a write that it confirmed', async () => {
    const store = makeStore({ kind: 'lost-write' })

    assert.equal(await store.putIfAbsent('a', bytes), 'created')

    assert.equal(await store.get('a'), undefined)
  })

  test('lists what is gone and hides what is there (N7)', async () => {
    const gone = { key: 'a/gone', sizeBytes: 1, modifiedAtMs: 0 }
    const store = makeStore({ kind: 'stale-list', hidden: ['a/here'], shown: [gone] })
    await store.putIfAbsent('a/here', bytes)

    assert.deepEqual(await collect(store.list('a/')), [gone])
    assert.deepEqual(await collect(store.list('b/')), [])
  })

  test('delays a call until it is aborted', async () => {
    const store = makeStore({ kind: 'delay', ms: 60_000, clock: systemClock, at: { operation: 'head' } })
    const controller = new AbortController()

    const head = store.head('a', { signal: controller.signal })
    controller.abort()

    await assert.rejects(head, { name: 'AbortError' })
  })
})

const lost = new Error('lost')
const bytes = Uint8Array.of(1, 2, 3)

function makeStore(...faults: readonly Fault[]): FaultyStore {
  return new FaultyStore(new MemoryStore('test', systemClock), faults)
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { testContext } from '../../test/support/repository.ts'
import { collect } from '../../test/support/store-contract.ts'
import { MemoryStore } from './memory/memory-store.ts'
import type { ObjectStore } from './object-store.ts'
import { probePrefix, probeStore, proveWritable, refuseUnfit } from './probe-store.ts'

describe('probeStore', () => {
  test('finds nothing wrong with a store that keeps its promises, and leaves nothing behind', async () => {
    const context = testContext()
    const store = new MemoryStore('test', context.clock)

    const report = await probeStore(store, context)

    assert.deepEqual(brokenOf(report), [])
    assert.equal(report.promises.length, 6)
    assert.ok(Math.abs(report.clockDifferenceMs) < 60_000)
    assert.deepEqual(await collect(store.list('')), [])
    refuseUnfit(store, report)
  })

  test('finds a store that overwrites', async () => {
    const context = testContext()
    const inner = new MemoryStore('test', context.clock)
    const store = overwriting(inner)

    const report = await probeStore(store, context)

    assert.deepEqual(brokenOf(report), ['never overwrites', 'tells one of racing writers that it won'])
    assert.throws(() => refuseUnfit(store, report), {
      code: 'store-failed',
      message: /conditional writes are ignored/,
    })
    assert.deepEqual(await collect(inner.list('')), [])
  })

  test('finds writes that are lost, and listings that lag', async () => {
    const context = testContext()
    const store = new FaultyStore(new MemoryStore('test', context.clock), [
      { kind: 'lost-write', at: { operation: 'putIfAbsent', subject: '/2-3' } },
    ])

    assert.deepEqual(brokenOf(await probeStore(store, context)), ['shows at once what was written'])
  })

  test('removes what a killed probe left, once it is an hour old', async () => {
    const context = testContext()
    let now = 0
    const store = new MemoryStore('test', { now: () => now })
    await store.putIfAbsent(`${probePrefix}old/0`, Uint8Array.of(1))
    now = context.clock.now()
    await store.putIfAbsent(`${probePrefix}new/0`, Uint8Array.of(1))

    await probeStore(store, context)

    assert.deepEqual(
      (await collect(store.list(''))).map(({ key }) => key),
      [`${probePrefix}new/0`],
    )
  })
})

describe('proveWritable', () => {
  test('is content with a store that keeps what it is given, and leaves nothing behind', async () => {
    const context = testContext()
    const store = new MemoryStore('test', context.clock)

    await proveWritable(store, context)

    assert.deepEqual(await collect(store.list('')), [])
  })

  test('throws for one that overwrites, and for one that loses what was written', async () => {
    const context = testContext()
    const inner = new MemoryStore('test', context.clock)
    const losing = new FaultyStore(inner, [
      { kind: 'lost-write', at: { operation: 'putIfAbsent', subject: probePrefix } },
    ])

    await assert.rejects(proveWritable(overwriting(inner), context), { code: 'store-failed' })
    await assert.rejects(proveWritable(losing, context), { code: 'store-failed' })
    assert.deepEqual(await collect(inner.list('')), [])
  })
})

function brokenOf({ promises }: Awaited<ReturnType<typeof probeStore>>): string[] {
  return promises.filter(({ fault }) => fault !== undefined).map(({ name }) => name)
}

/** As stores do that do not know conditional writes. */
function overwriting(inner: MemoryStore): ObjectStore {
  return {
    location: inner.location,
    get: inner.get.bind(inner),
    head: inner.head.bind(inner),
    list: inner.list.bind(inner),
    delete: inner.delete.bind(inner),
    putIfAbsent: async (key, bytes) => {
      await inner.delete([key])
      await inner.putIfAbsent(key, bytes)
      return 'created'
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

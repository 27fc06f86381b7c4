import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import { systemClock } from '../platform/system-clock.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { testContext, testKeyFile } from '../../test/support/repository.ts'
import { addKeySlot, openKeyRing, planSlotRemoval, replaceKeySlots, type KeyRing } from './key-ring.ts'
import type { Unlocker } from './key-slot.ts'
import { createRepository, openRepository } from './open-repository.ts'

const context = testContext()
const keyFile = (letter: string): Unlocker => ({ kind: 'key-file', secret: Buffer.alloc(64, letter) })
const passphrase: Unlocker = { kind: 'passphrase', passphrase: 'correct horse' }
const [one, other] = [keyFile('1'), keyFile('2')]

async function newRepository(): Promise<MemoryStore> {
  const store = new MemoryStore('test', systemClock)
  await createRepository(store, { unlocker: testKeyFile }, context)
  return store
}

async function doesOpen(store: ObjectStore, unlocker: Unlocker): Promise<boolean> {
  try {
    await openRepository(store, { unlocker }, context)
    return true
  } catch (error) {
    assert.ok(isOperationError(error, 'key-wrong'))
    return false
  }
}

const rotate = (ring: KeyRing, unlocker: Unlocker): Promise<string> =>
  replaceKeySlots(ring, { unlocker, doomed: ring.slots }, context)

async function slotsOf(store: ObjectStore): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of store.list('keys/')) keys.push(key)
  return keys
}

/** The number of calls that a rotation makes. */
async function countCalls(): Promise<number> {
  const store = new FaultyStore(await newRepository())
  const ring = await openKeyRing(store, testKeyFile, context)
  const before = store.calls.length
  await rotate(ring, one)
  return store.calls.length - before
}

describe('a key ring', () => {
  test('opens with each secret alone, and gives all of them the same keys (RULES 4.3)', async () => {
    const store = await newRepository()
    const ring = await openKeyRing(store, testKeyFile, context)
    await addKeySlot(ring, one, context)
    await addKeySlot(ring, passphrase, context)

    const opened = []
    for (const unlocker of [testKeyFile, one, passphrase])
      opened.push((await openRepository(store, { unlocker }, context)).keys)
    assert.deepEqual(opened[1], opened[0])
    assert.deepEqual(opened[2], opened[0])
  })

  test('says which slots there are, which one opens, and which cannot be read', async () => {
    const store = await newRepository()
    await addKeySlot(await openKeyRing(store, testKeyFile, context), passphrase, context)
    await store.putIfAbsent('keys/ffffffffffffffff', Buffer.from('HOLDFAST but no slot'))
    const { slots } = await openKeyRing(store, passphrase, context)

    assert.deepEqual(slots.map(({ kind, isOpened }) => `${kind} ${isOpened}`).toSorted(), [
      'key-file false',
      'passphrase true',
      'undefined false',
    ])
    const broken = slots.find(({ id }) => id === 'ffffffffffffffff')
    assert.equal(broken?.problem?.code, 'format-newer')
  })

  test('has no meaning for a repository without encryption', async () => {
    const store = new MemoryStore('test', systemClock)
    await assert.rejects(openKeyRing(store, testKeyFile, context), { code: 'repository-missing' })
    await createRepository(store, { unlocker: undefined }, context)

    await assert.rejects(openKeyRing(store, testKeyFile, context), { code: 'usage' })
  })

  test('opens no more with a secret whose slot was removed, and still with the others (RULES 4.3)', async () => {
    const store = await newRepository()
    const first = await openKeyRing(store, testKeyFile, context)
    const added = await addKeySlot(first, one, context)
    await addKeySlot(first, other, context)
    const ring = await openKeyRing(store, testKeyFile, context)
    await replaceKeySlots(ring, { unlocker: testKeyFile, doomed: planSlotRemoval(ring, added) }, context)

    assert.equal(await doesOpen(store, one), false)
    assert.equal(await doesOpen(store, other), true)
    assert.equal(await doesOpen(store, testKeyFile), true)
    assert.equal((await slotsOf(store)).length, 2)
  })

  test('keeps the only slot that the secret in use opens, and knows no others than its own', async () => {
    const store = await newRepository()
    await addKeySlot(await openKeyRing(store, testKeyFile, context), one, context)
    const ring = await openKeyRing(store, testKeyFile, context)
    const own = ring.slots.find(({ isOpened }) => isOpened)

    assert.throws(() => planSlotRemoval(ring, own?.id ?? ''), { code: 'key-in-use', exitCode: 5 })
    assert.throws(() => planSlotRemoval(ring, '0000000000000000'), { code: 'not-found' })
  })

  test('does not say that a slot was added which the store lost or changed', async () => {
    for (const fault of [{ kind: 'lost-write' }, { kind: 'flip-bit', bitIndex: 500 }] as const) {
      const store = new FaultyStore(await newRepository())
      const ring = await openKeyRing(store, testKeyFile, context)
      store.plan(fault)
      await assert.rejects(rotate(ring, one), { code: 'store-failed' })

      store.heal()
      assert.equal(await doesOpen(store, testKeyFile), true)
    }
  })
})

describe('a rotation of the key', () => {
  test('leaves the new secret alone, and the same keys', async () => {
    const store = await newRepository()
    const before = await openRepository(store, { unlocker: testKeyFile }, context)
    await rotate(await openKeyRing(store, testKeyFile, context), passphrase)

    const after = await openRepository(store, { unlocker: passphrase }, context)
    assert.deepEqual(after.keys, before.keys)
    assert.equal(await doesOpen(store, testKeyFile), false)
    assert.equal((await slotsOf(store)).length, 1)
  })

  test('killed at any call leaves the old secret or the new one, and can be run again (P10)', async () => {
    const callCount = await countCalls()
    assert.ok(callCount >= 3)
    for (let call = 1; call <= callCount; call += 1) {
      for (const when of ['before', 'after'] as const) {
        const inner = await newRepository()
        await addKeySlot(await openKeyRing(inner, testKeyFile, context), other, context)
        const store = new FaultyStore(inner)
        const ring = await openKeyRing(store, testKeyFile, context)
        store.plan({ kind: 'fail', at: { call }, when, error: new Error('killed') })
        await assert.rejects(rotate(ring, one), /killed/)

        const isOld = await doesOpen(inner, testKeyFile)
        assert.ok(isOld || (await doesOpen(inner, one)), `call ${call}, ${when}`)
        await rotate(await openKeyRing(inner, isOld ? testKeyFile : one, context), one)
        assert.deepEqual(
          [await doesOpen(inner, testKeyFile), await doesOpen(inner, other), await doesOpen(inner, one)],
          [false, false, true],
        )
      }
    }
  })

  test('killed between any two of its deletions leaves a secret that opens (P10)', async () => {
    for (const kept of [0, 1, 2]) {
      const inner = await newRepository()
      await addKeySlot(await openKeyRing(inner, testKeyFile, context), other, context)
      const ring = await openKeyRing(inner, testKeyFile, context)
      await addKeySlot(ring, one, context)
      await inner.delete(ring.slots.slice(kept).map(({ id }) => `keys/${id}`))

      assert.equal(await doesOpen(inner, one), true)
    }
  })

  test('beside another one, in any order of their steps, leaves a secret that opens (P10)', async () => {
    for (const order of interleavings('aaaaa', 'bbbbb')) {
      const store = await newRepository()
      await addKeySlot(await openKeyRing(store, testKeyFile, context), other, context)
      const a = new Stepped(store, async (stepped) => {
        await rotate({ ...(await openKeyRing(store, testKeyFile, context)), store: stepped }, one)
      })
      // Another host, whose secret stays: for it a rotation is the removal of all other slots.
      const b = new Stepped(store, async (stepped) => {
        await rotate({ ...(await openKeyRing(store, other, context)), store: stepped }, other)
      })
      for (const who of order) await (who === 'a' ? a : b).step()

      assert.ok(a.isOver && b.isOver)
      assert.ok((await doesOpen(store, one)) || (await doesOpen(store, other)), order)
    }
  })
})

/** Runs work that stands still before it begins and before each call to the store, until it is told to go a step. */
class Stepped {
  #resume: (() => void) | undefined
  #stands = Promise.withResolvers<void>()
  isOver = false

  constructor(inner: MemoryStore, work: (store: ObjectStore) => Promise<void>) {
    const store = new Proxy(inner, {
      get: (target, property: keyof MemoryStore) => {
        if (property !== 'get' && property !== 'putIfAbsent' && property !== 'delete') return target[property]
        return async (...call: readonly unknown[]) => {
          await this.#stand()
          return Reflect.apply(target[property] as (...args: readonly unknown[]) => unknown, target, call)
        }
      },
    })
    void this.#run(() => work(store))
  }

  async step(): Promise<void> {
    this.#stands = Promise.withResolvers()
    this.#resume?.()
    if (!this.isOver) await this.#stands.promise
  }

  async #run(work: () => Promise<void>): Promise<void> {
    await this.#stand()
    // Its secret or its new slot may have been removed by the other one already: then it removes nothing.
    await work().catch((error: unknown) => {
      if (!isOperationError(error, 'key-wrong') && !isOperationError(error, 'store-failed')) throw error
    })
    this.isOver = true
    this.#stands.resolve()
  }

  async #stand(): Promise<void> {
    const resumed = Promise.withResolvers<void>()
    this.#resume = resumed.resolve
    this.#stands.resolve()
    await resumed.promise
  }
}

function interleavings(a: string, b: string): readonly string[] {
  if (a === '' || b === '') return [a + b]
  return [
    ...interleavings(a.slice(1), b).map((rest) => `${a.charAt(0)}${rest}`),
    ...interleavings(a, b.slice(1)).map((rest) => `${b.charAt(0)}${rest}`),
  ]
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isOperationError, type OperationErrorCode } from '../domain/operation-error.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { systemClock } from '../platform/system-clock.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { testContext, testKeyFile } from '../../test/support/repository.ts'
import type { Unlocker } from './key-slot.ts'
import { createRepository, openRepository } from './open-repository.ts'

const context = testContext()
const otherKeyFile: Unlocker = { kind: 'key-file', secret: Buffer.from('f'.repeat(64)) }
const passphrase: Unlocker = { kind: 'passphrase', passphrase: 'correct horse' }

const newStore = (): MemoryStore => new MemoryStore('test', systemClock)
const fails = (code: OperationErrorCode) => (error: unknown) => isOperationError(error, code)

async function keysOf(store: MemoryStore): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of store.list('')) keys.push(key)
  return keys
}

async function replace(
  store: MemoryStore,
  key: string,
  change: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  const bytes = await store.get(key)
  assert.ok(bytes)
  await store.delete([key])
  await store.putIfAbsent(key, change(bytes))
}

function bound<Target extends object>(target: Target, property: keyof Target): unknown {
  const value = target[property]
  return typeof value === 'function' ? value.bind(target) : value
}

const flip = (index: number) => (bytes: Uint8Array) =>
  bytes.map((byte, at) => (at === index ? byte ^ 1 : byte))

describe('a repository', () => {
  for (const unlocker of [testKeyFile, passphrase, undefined]) {
    test(`opens with the ${unlocker?.kind ?? 'absence of a key'} it was created with, and has the same keys`, async () => {
      const store = newStore()
      const created = await createRepository(store, { unlocker }, context)
      const opened = await openRepository(store, { unlocker }, context)

      assert.deepEqual(opened, created)
      assert.equal(opened.method, unlocker === undefined ? 'none' : 'aes-256-gcm')
    })
  }

  test('refuses another key, a key of the other kind and no key', async () => {
    const store = newStore()
    await createRepository(store, { unlocker: testKeyFile }, context)

    await assert.rejects(openRepository(store, { unlocker: otherKeyFile }, context), fails('key-wrong'))
    await assert.rejects(openRepository(store, { unlocker: passphrase }, context), fails('key-wrong'))
    await assert.rejects(openRepository(store, { unlocker: undefined }, context), fails('key-missing'))
  })

  test('without sealing is refused where a key is configured', async () => {
    const store = newStore()
    await createRepository(store, { unlocker: undefined }, context)

    await assert.rejects(openRepository(store, { unlocker: testKeyFile }, context), fails('key-wrong'))
  })

  test('is never created by opening an empty store', async () => {
    const store = newStore()

    await assert.rejects(
      openRepository(store, { unlocker: testKeyFile }, context),
      fails('repository-missing'),
    )
    assert.deepEqual(await keysOf(store), [])
  })

  test('is not created in a store that holds other things, nor where there is one', async () => {
    const foreign = newStore()
    await foreign.putIfAbsent('photos/cat', Buffer.from('meow'))
    const taken = newStore()
    await createRepository(taken, { unlocker: testKeyFile }, context)
    const before = await keysOf(taken)

    await assert.rejects(
      createRepository(foreign, { unlocker: testKeyFile }, context),
      fails('repository-foreign'),
    )
    await assert.rejects(
      openRepository(foreign, { unlocker: testKeyFile }, context),
      fails('repository-foreign'),
    )
    await assert.rejects(
      createRepository(taken, { unlocker: testKeyFile }, context),
      fails('repository-occupied'),
    )
    assert.deepEqual(await keysOf(foreign), ['photos/cat'])
    assert.deepEqual(await keysOf(taken), before)
  })

  test('is created anew after a creation that died at any call', async () => {
    for (let call = 1; call <= 3; call += 1) {
      for (const when of ['before', 'after'] as const) {
        const inner = newStore()
        const at = { operation: 'putIfAbsent', call } as const
        const faulty = new FaultyStore(inner, [{ kind: 'fail', at, when, error: new Error('killed') }])
        await createRepository(faulty, { unlocker: testKeyFile }, context).catch(() => undefined)

        const isComplete = (await inner.head('holdfast')) !== undefined
        if (!isComplete) await createRepository(inner, { unlocker: testKeyFile }, context)
        await openRepository(inner, { unlocker: testKeyFile }, context)
        assert.equal((await keysOf(inner)).filter((key) => key.startsWith('keys/')).length, 1)
      }
    }
  })

  test('is created by exactly one of two that try at once, and opens with its key', async () => {
    const inner = newStore()
    let second: Promise<unknown> | undefined
    const racing = new Proxy(inner, {
      get(target, property: keyof MemoryStore) {
        if (property !== 'putIfAbsent') return bound(target, property)
        return async (key: string, bytes: Uint8Array) => {
          if (key === 'holdfast') {
            second = createRepository(inner, { unlocker: otherKeyFile }, context).catch(
              (error: unknown) => error,
            )
            await new Promise(setImmediate)
          }
          return target.putIfAbsent(key, bytes)
        }
      },
    })
    const first = await createRepository(racing, { unlocker: testKeyFile }, context).catch(
      (error: unknown) => error,
    )
    const results = [first, await second]

    assert.equal(results.filter((result) => result instanceof Error).length, 1)
    const unlocker = first instanceof Error ? otherKeyFile : testKeyFile
    await openRepository(inner, { unlocker }, context)
  })

  test('opens nothing after any bit of its header or key slot was flipped', async () => {
    const reference = newStore()
    await createRepository(reference, { unlocker: testKeyFile }, context)
    for (const key of await keysOf(reference)) {
      const length = (await reference.head(key))?.sizeBytes ?? 0
      for (let index = 0; index < length; index += 1) {
        const store = newStore()
        for (const copied of await keysOf(reference)) {
          await store.putIfAbsent(copied, (await reference.get(copied)) ?? Buffer.alloc(0))
        }
        await replace(store, key, flip(index))
        await assert.rejects(
          openRepository(store, { unlocker: testKeyFile }, context),
          isOperationError,
          `${key} byte ${index}`,
        )
      }
    }
  })

  test('of a newer format is refused as such', async () => {
    const store = newStore()
    await createRepository(store, { unlocker: testKeyFile }, context)
    await replace(store, 'holdfast', (bytes) => bytes.map((byte, at) => (at === 8 ? 2 : byte)))

    await assert.rejects(openRepository(store, { unlocker: testKeyFile }, context), fails('format-newer'))
  })

  test('refuses key derivation that is too cheap or too dear before doing it', async () => {
    for (const log2N of [1, 14, 21, 30, 255]) {
      const store = newStore()
      await createRepository(store, { unlocker: passphrase }, context)
      const slot = (await keysOf(store)).find((key) => key.startsWith('keys/')) ?? ''
      await replace(store, slot, (bytes) => bytes.map((byte, at) => (at === 11 ? log2N : byte)))

      await assert.rejects(openRepository(store, { unlocker: passphrase }, context), fails('damaged'))
    }
  })

  test('opens with a slot that fits although another one is damaged or of a kind to come', async () => {
    for (const [at, value] of [
      [0, 0],
      [8, 2],
      [10, 7],
    ] as const) {
      const store = newStore()
      await createRepository(store, { unlocker: testKeyFile }, context)
      const slot = (await keysOf(store)).find((key) => key.startsWith('keys/')) ?? ''
      const bytes = await store.get(slot)
      assert.ok(bytes)
      bytes[at] = value
      for (const beside of ['keys/0', 'keys/g']) await store.putIfAbsent(beside, bytes)

      await openRepository(store, { unlocker: testKeyFile }, context)
      await store.delete([slot])
      await assert.rejects(openRepository(store, { unlocker: testKeyFile }, context), isOperationError)
    }
  })
})

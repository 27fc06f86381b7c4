import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isOperationError } from '../domain/operation-error.ts'
import { anyMutation, flipBit } from '../../test/support/repository-samples.ts'
import { testKeyFile } from '../../test/support/repository.ts'
import { openKeySlot, sealKeySlot, type Unlocker } from './key-slot.ts'
import { encodeRepositoryHeader } from './repository-header.ts'

const rootKey = Uint8Array.from({ length: 32 }, (_, index) => index)
const repositoryId = Buffer.alloc(16, 7)
const headerBytes = encodeRepositoryHeader({ repositoryId, method: 'aes-256-gcm', createdAtMs: 1 })
const place = { headerBytes, key: 'keys/0123456789abcdef' }
const otherKeyFile: Unlocker = { kind: 'key-file', secret: Buffer.alloc(64, 'f') }
const passphrase: Unlocker = { kind: 'passphrase', passphrase: 'correct horse' }
const slot = await sealKeySlot(rootKey, testKeyFile, headerBytes)

const isRefusal = (error: unknown): boolean =>
  isOperationError(error, 'damaged') || isOperationError(error, 'format-newer')

/** A slot that is not as it was gives no key: the answer that it does not fit, or a named error. */
async function givesNoKey(bytes: Uint8Array, what?: string): Promise<void> {
  try {
    assert.equal(await openKeySlot(bytes, testKeyFile, place), undefined, what)
  } catch (error) {
    if (!isRefusal(error)) throw error
  }
}

describe('a key slot', () => {
  for (const unlocker of [testKeyFile, passphrase]) {
    test(`gives the root key to the ${unlocker.kind} that it was made for`, async () => {
      const sealed = await sealKeySlot(rootKey, unlocker, headerBytes)
      const opened = await openKeySlot(sealed, unlocker, place)

      assert.equal(sealed.length, 106)
      assert.deepEqual(Buffer.from(opened ?? []), Buffer.from(rootKey))
    })
  }

  test('does not hold the root key in the clear, and is another one each time', async () => {
    const again = await sealKeySlot(rootKey, testKeyFile, headerBytes)

    assert.ok(!Buffer.from(slot).includes(Buffer.from(rootKey.subarray(0, 8))))
    for (const [start, end] of [
      [14, 46],
      [46, 58],
      [58, 106],
    ])
      assert.notDeepEqual(again.subarray(start, end), slot.subarray(start, end))
  })

  test('says that it does not fit another secret or one of the other kind', async () => {
    for (const unlocker of [otherKeyFile, passphrase])
      assert.equal(await openKeySlot(slot, unlocker, place), undefined)
  })

  test('opens only with the header of its repository: not with one that says another id, method or time', async () => {
    for (const change of [
      { repositoryId: Buffer.alloc(16, 8) },
      { method: 'none' as const },
      { createdAtMs: 2 },
    ]) {
      const header = { repositoryId, method: 'aes-256-gcm', createdAtMs: 1, ...change } as const
      const changed = { ...place, headerBytes: encodeRepositoryHeader(header) }
      assert.equal(await openKeySlot(slot, testKeyFile, changed), undefined)
    }
  })

  test('gives no key when any bit of it is flipped', async () => {
    for (let bit = 0; bit < slot.length * 8; bit += 1) await givesNoKey(flipBit(slot, bit), `bit ${bit}`)
  })

  test('is damaged when it is cut at any length or goes on behind its end', async () => {
    for (let length = 0; length < slot.length; length += 1)
      await assert.rejects(openKeySlot(slot.subarray(0, length), testKeyFile, place), { code: 'damaged' })
    await assert.rejects(openKeySlot(Buffer.concat([slot, Buffer.alloc(1)]), testKeyFile, place), {
      code: 'damaged',
    })
  })

  test('is refused before any derivation when that would be too cheap or too dear', async () => {
    const sealed = await sealKeySlot(rootKey, passphrase, headerBytes)
    for (const [offset, value] of [
      [11, 14],
      [11, 21],
      [11, 255],
      [12, 0],
      [12, 7],
      [12, 255],
      [13, 0],
      [13, 5],
      [13, 255],
    ] as const) {
      const changed = sealed.map((byte, at) => (at === offset ? value : byte))
      await assert.rejects(openKeySlot(changed, passphrase, place), { code: 'damaged', message: /scrypt/ })
    }
  })

  test('gives no key out of arbitrary or changed bytes (X1)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 120 }),
          anyMutation.map((mutate) => mutate(slot)),
        ),
        async (bytes) => {
          if (!Buffer.from(bytes).equals(slot)) await givesNoKey(bytes)
        },
      ),
    )
  })
})

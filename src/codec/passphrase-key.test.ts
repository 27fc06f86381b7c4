import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  assertScryptBounds,
  defaultScryptParameters,
  keyFromKeyFile,
  keyFromPassphrase,
} from './passphrase-key.ts'

const salt = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')
const cheapest = { log2N: 15, r: 8, p: 1 }

describe('keyFromPassphrase', () => {
  test('is scrypt (computed with another implementation)', async () => {
    const key = await keyFromPassphrase('correct horse', cheapest, salt)

    assert.equal(Buffer.from(key).toString('hex'), expectedKey)
  })

  test('does not depend on how the keyboard composes accents', async () => {
    const composed = await keyFromPassphrase('caf\u00e9', cheapest, salt)
    const decomposed = await keyFromPassphrase('cafe\u0301', cheapest, salt)

    assert.deepEqual(composed, decomposed)
  })

  test('has the memory it needs by default', async () => {
    assert.equal((await keyFromPassphrase('x', defaultScryptParameters, salt)).length, 32)
  })

  test('derives nothing from parameters out of bounds', async () => {
    await assert.rejects(keyFromPassphrase('x', { log2N: 30, r: 8, p: 1 }, salt), { code: 'damaged' })
  })
})

describe('assertScryptBounds', () => {
  test('takes the bounds and refuses what is beyond: too cheap to guess, too dear to open', () => {
    for (const good of [cheapest, { log2N: 20, r: 8, p: 4 }, defaultScryptParameters])
      assertScryptBounds(good, 'x')

    for (const bad of [
      { log2N: 14, r: 8, p: 1 },
      { log2N: 21, r: 8, p: 1 },
      { log2N: 17, r: 1, p: 1 },
      { log2N: 17, r: 255, p: 1 },
      { log2N: 17, r: 8, p: 0 },
      { log2N: 17, r: 8, p: 5 },
      { log2N: 17.5, r: 8, p: 1 },
    ]) {
      assert.throws(() => assertScryptBounds(bad, 'reading the key slot "k"'), { code: 'damaged' })
    }
  })
})

describe('keyFromKeyFile', () => {
  test('derives a key that depends on the salt', () => {
    const secret = Buffer.alloc(32, 7)

    assert.equal(keyFromKeyFile(secret, salt).length, 32)
    assert.notDeepEqual(keyFromKeyFile(secret, salt), keyFromKeyFile(secret, Buffer.alloc(16)))
  })

  test('refuses a file too short to be a secret', () => {
    assert.throws(() => keyFromKeyFile(Buffer.alloc(31), salt), { code: 'config-invalid' })
  })
})

const expectedKey = '5c662628ac4eb1068a287e2aa2a202ae248e98db04d61d3327e7342db6ec7097'

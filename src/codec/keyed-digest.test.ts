import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { digestOf, equalBytes } from './digest.ts'
import { deriveKey, keyedDigest } from './keyed-digest.ts'

describe('keyedDigest', () => {
  test('is HMAC-SHA-256 cut to 16 bytes (RFC 4231, test case 2)', () => {
    const key = Buffer.from('Jefe')

    assert.equal(
      keyedDigest(key, Buffer.from('what do ya want for nothing?')),
      '5bdcc146bf60754e6a042426089575c7',
    )
    assert.equal(
      keyedDigest(key, Buffer.from('what do ya want '), Buffer.from('for nothing?')),
      '5bdcc146bf60754e6a042426089575c7',
    )
  })
})

describe('deriveKey', () => {
  test('is HKDF-SHA-256 (RFC 5869, test case 1)', () => {
    const key = deriveKey(Buffer.alloc(22, 0x0b), {
      salt: Buffer.from('000102030405060708090a0b0c', 'hex'),
      info: Buffer.from('f0f1f2f3f4f5f6f7f8f9', 'hex'),
      length: 42,
    })

    assert.equal(
      Buffer.from(key).toString('hex'),
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    )
  })
})

describe('digestOf', () => {
  test('is SHA-256 of the parts one after the other', () => {
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'

    assert.equal(Buffer.from(digestOf(Buffer.from('abc'))).toString('hex'), expected)
    assert.equal(Buffer.from(digestOf(Buffer.from('a'), Buffer.from('bc'))).toString('hex'), expected)
  })
})

describe('equalBytes', () => {
  test('compares content and length', () => {
    assert.equal(equalBytes(Buffer.from('ab'), new Uint8Array([97, 98])), true)
    assert.equal(equalBytes(Buffer.from('ab'), Buffer.from('ac')), false)
    assert.equal(equalBytes(Buffer.from('ab'), Buffer.from('abc')), false)
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { crc32c } from './crc32c.ts'

describe('crc32c', () => {
  test('gives the published values', () => {
    const ascending = Uint8Array.from({ length: 32 }, (_, index) => index)
    // RFC 3720, appendix B.4; the last is the check value of the CRC catalogues.
    const published: readonly (readonly [Uint8Array, number])[] = [
      [new Uint8Array(32), 0x8a9136aa],
      [new Uint8Array(32).fill(0xff), 0x62a8ab43],
      [ascending, 0x46dd794e],
      [ascending.toReversed(), 0x113fdb5c],
      [
        Buffer.from(
          '01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000',
          'hex',
        ),
        0xd9963a56,
      ],
      [Buffer.from('123456789'), 0xe3069283],
    ]

    for (const [bytes, value] of published) assert.equal(crc32c(bytes), value)
  })

  test('is zero for nothing', () => {
    assert.equal(crc32c(new Uint8Array(0)), 0)
  })

  test('agrees with the bit-by-bit definition at every length and alignment', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(9), (bytes, skip) => {
        const view = bytes.subarray(Math.min(skip, bytes.length))

        assert.equal(crc32c(view), bitByBit(view))
      }),
    )
  })

  test('goes on from a seed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
        assert.equal(crc32c(bytes.subarray(at), crc32c(bytes.subarray(0, at))), crc32c(bytes))
      }),
    )
  })
})

function bitByBit(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78)
  }
  return ~crc >>> 0
}

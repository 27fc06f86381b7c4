import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { unpackImage } from './unpack-image.ts'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

describe('unpacking a page image', () => {
  test('gives back what pglz had: bytes, copies, copies that run into themselves, long ones', () => {
    // Three bytes; six from three back; 18 and 2 from one back; bytes.
    const packed = Buffer.concat([
      Uint8Array.of(0b0001_1000),
      text('abc'),
      Uint8Array.of(0x03, 3, 0x0f, 1, 2),
      text('xyz'),
    ])

    const unpacked = unpackImage(packed, 'pglz', 32)

    assert.deepEqual(unpacked, text(`abcabcabc${'c'.repeat(20)}xyz`))
  })

  test('gives back what LZ4 had', () => {
    // Three bytes, six from three back; 19 from one back; bytes.
    const packed = Buffer.concat([
      Uint8Array.of(0x32),
      text('abc'),
      Uint8Array.of(3, 0, 0x0f, 1, 0, 0, 0x30),
      text('xyz'),
    ])

    const unpacked = unpackImage(packed, 'lz4', 31)

    assert.deepEqual(unpacked, text(`abcabcabc${'c'.repeat(19)}xyz`))
  })

  test('gives back what zstd had', () => {
    const page = new Uint8Array(8000).fill(7)

    assert.deepEqual(Uint8Array.from(unpackImage(zstdCompressSync(page), 'zstd', 8000) ?? []), page)
  })

  test('gives nothing else than so many bytes, whatever it is given', () => {
    const method = fc.constantFrom('pglz' as const, 'lz4' as const, 'zstd' as const)
    const property = fc.property(
      fc.uint8Array({ maxLength: 200 }),
      method,
      fc.nat(300),
      (bytes, by, size) => {
        const unpacked = unpackImage(bytes, by, size)
        assert.ok(unpacked === undefined || unpacked.length === size)
      },
    )
    fc.assert(property)
  })
})

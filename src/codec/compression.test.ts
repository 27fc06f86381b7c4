import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { isOperationError } from '../domain/operation-error.ts'
import { isCompressionLevel, largestRawLength, packPayload, unpackPayload } from './compression.ts'

const levels = [-7, -5, -2, 0, 1, 3, 9]

describe('packPayload', () => {
  test('gives what unpackPayload turns back into the same bytes', () => {
    fc.assert(
      fc.property(anyContent, fc.constantFrom(...levels), (raw, level) => {
        const payload = Buffer.concat(packPayload(raw, level))

        assert.ok(Buffer.from(unpackPayload(payload, raw.length)).equals(raw))
        assert.ok(payload.length <= raw.length + 5)
      }),
    )
  })

  test('stores what compression does not make shorter', () => {
    const raw = new Uint8Array(Buffer.from('f7a0', 'hex'))

    assert.deepEqual(Buffer.concat(packPayload(raw, 3)).toString('hex'), '0002000000f7a0')
  })

  test('stores everything at level 0', () => {
    assert.equal(Buffer.concat(packPayload(Buffer.alloc(1000), 0)).length, 1005)
  })

  test('compresses at the level that it is given, none of them mistaken for another', () => {
    const raw = Buffer.from(
      Array.from({ length: 20_000 }, (_, row) => `${row * 7919} row ${row % 97}\n`).join(''),
    )
    const lengths = [-7, -2, 1, 3, 19].map((level) => Buffer.concat(packPayload(raw, level)).length)

    assert.equal(new Set(lengths).size, lengths.length)
    assert.ok(Math.min(...lengths) === lengths.at(-1))
  })

  test('refuses level -1, which zstd in Node takes for "not set"', () => {
    assert.equal(isCompressionLevel(-1), false)
    assert.throws(() => packPayload(Buffer.alloc(10), -1))
    assert.ok(levels.every((level) => isCompressionLevel(level)))
    assert.deepEqual(
      [20, -8, 1.5, Number.NaN].map((level) => isCompressionLevel(level)),
      [false, false, false, false],
    )
  })
})

describe('unpackPayload', () => {
  test('refuses more than the limit before it allocates anything', () => {
    const payload = Buffer.concat(packPayload(Buffer.alloc(100_000), 1))

    assert.throws(() => unpackPayload(payload, 99_999, '"k"'), {
      code: 'damaged',
      message: 'reading "k": expected at most 99999 bytes, found a raw length of 100000',
    })
    assert.throws(() => unpackPayload(frame(1, 0xffff_ffff, Buffer.alloc(9))), { code: 'damaged' })
    assert.throws(() => unpackPayload(frame(0, largestRawLength + 1, Buffer.alloc(9)), 2 ** 40), {
      code: 'damaged',
    })
  })

  test('refuses a bomb: content that expands beyond the length it claims (X8)', () => {
    const bomb = zstdCompressSync(Buffer.alloc(50_000_000))

    assert.throws(() => unpackPayload(frame(1, 1000, bomb)), { code: 'damaged' })
  })

  test('refuses content that is shorter than it claims', () => {
    assert.throws(() => unpackPayload(frame(1, 1001, zstdCompressSync(Buffer.alloc(1000)))), {
      code: 'damaged',
    })
    assert.throws(() => unpackPayload(frame(0, 11, Buffer.alloc(10))), { code: 'damaged' })
  })

  test('refuses a window larger than any of ours, for it is memory (X8)', () => {
    assert.equal(unpackPayload(frame(1, 1000, withWindow(26))).length, 1000)
    assert.throws(() => unpackPayload(frame(1, 1000, withWindow(27))), { code: 'damaged' })
  })

  test('refuses unknown compression methods and payloads without a head', () => {
    assert.throws(() => unpackPayload(frame(2, 3, Buffer.alloc(3))), { code: 'damaged' })
    assert.throws(() => unpackPayload(Buffer.alloc(4)), { code: 'damaged' })
    assert.throws(() => unpackPayload(frame(1, 0, Buffer.alloc(0))), { code: 'damaged' })
  })

  test('answers cut, flipped and arbitrary payloads with bytes of the claimed length or with damaged', () => {
    const intact = Buffer.concat(packPayload(Buffer.from('one two three '.repeat(50)), 3))
    const cut = fc.nat(intact.length - 1).map((length) => intact.subarray(0, length))
    const flipped = fc
      .tuple(fc.nat(intact.length - 1), fc.integer({ min: 1, max: 255 }))
      .map(([at, mask]) => {
        const copy = Buffer.from(intact)
        copy[at] = (copy[at] ?? 0) ^ mask
        return copy
      })
    const noise = fc.uint8Array({ maxLength: 40 })

    fc.assert(
      fc.property(fc.oneof(cut, flipped, noise), (payload) => {
        try {
          unpackPayload(payload, 10_000)
        } catch (error) {
          assert.ok(isOperationError(error, 'damaged'), String(error))
        }
      }),
    )
  })
})

const anyContent = fc.oneof(
  fc.uint8Array({ maxLength: 2000 }),
  fc
    .tuple(fc.uint8Array({ maxLength: 20 }), fc.nat(500))
    .map(([part, times]) => Buffer.concat(Array.from({ length: times }, () => part))),
)

/** RFC 8878: magic, descriptor, a window of 2^(10 + exponent), one raw block of 1000 bytes. */
function withWindow(log: number): Buffer {
  return Buffer.concat([
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 0x41, 0x1f, 0]),
    Buffer.alloc(1000),
  ])
}

function frame(method: number, rawLength: number, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt8(method)
  head.writeUInt32LE(rawLength, 1)
  return Buffer.concat([head, bytes])
}

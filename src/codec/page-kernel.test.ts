import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { buildKernel } from '../../scripts/build-wasm.ts'
import { blockSize, createPageKernel, type PageKernel } from './page-kernel.ts'

describe('the page kernel', () => {
  test('is the module that its text builds', async () => {
    const committed = readFileSync(join(import.meta.dirname, 'page-kernel-wasm.ts'), 'utf8')

    assert.equal(await buildKernel('codec/page-kernel'), committed)
  })

  test('hashes as the XXH64 test vectors of its authors say', () => {
    for (const [length, seed, expected] of publicVectors) {
      assert.equal(hashOf(vectorInput.subarray(0, length), seed), expected, `${length} bytes, seed ${seed}`)
    }
    assert.equal(hashOf(Buffer.from('a'), 0n), 0xd24ec4f1a98c6e5bn)
    assert.equal(hashOf(Buffer.from('abc'), 0n), 0x44bc2cf5ad770999n)
  })

  test('hashes any length with any seed as the specification does', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300, minLength: 1 }),
        fc.bigInt(0n, 2n ** 64n - 1n),
        (bytes, seed) => {
          assert.equal(hashOf(bytes, seed), xxh64(bytes, seed))
        },
      ),
    )
  })

  test('hashes each block by itself and a shorter one at the end', () => {
    const kernel = createPageKernel({ inputBytes: 4 * blockSize, seed: 7n })
    const content = pseudoRandom(2 * blockSize + 5)
    kernel.input.set(content)
    const out = new BigUint64Array(4)

    const count = kernel.hashBlocks({ offset: 0, length: content.length }, out)

    assert.equal(count, 3)
    assert.deepEqual(
      [...out],
      [
        xxh64(content.subarray(0, blockSize), 7n),
        xxh64(content.subarray(blockSize, 2 * blockSize), 7n),
        xxh64(content.subarray(2 * blockSize), 7n),
        0n,
      ],
    )
  })

  test('accepts pages with the checksum of pg_checksum_page (R13)', () => {
    const kernel = createPageKernel({ inputBytes: 4 * blockSize, seed: 0n })
    for (let index = 0; index < 4; index += 1) fillPage(kernel, index, 131_072 + index)

    assert.deepEqual(kernel.checkPages({ offset: 0, length: 4 * blockSize }, 131_072), [])
  })

  test('tells which pages are bad, for they are elsewhere than their block number says', () => {
    const kernel = createPageKernel({ inputBytes: 4 * blockSize, seed: 0n })
    for (let index = 0; index < 4; index += 1) fillPage(kernel, index, index === 2 ? 0 : index)

    assert.deepEqual(kernel.checkPages({ offset: 0, length: 4 * blockSize }, 0), [2])
    assert.deepEqual(kernel.checkPages({ offset: 0, length: 4 * blockSize }, 1), [0, 1, 2, 3])
  })

  test('finds any flipped bit of a page (R13)', () => {
    const kernel = createPageKernel({ inputBytes: blockSize, seed: 0n })
    fillPage(kernel, 0, 5)

    for (let byte = 0; byte < blockSize; byte += 1) {
      const flip = 1 << (byte % 8)
      kernel.input[byte] = (kernel.input[byte] ?? 0) ^ flip
      assert.deepEqual(kernel.checkPages({ offset: 0, length: blockSize }, 5), [0], `byte ${byte}`)
      kernel.input[byte] = (kernel.input[byte] ?? 0) ^ flip
    }
  })

  test('accepts a page of zeroes only when it is zero throughout (R13)', () => {
    const kernel = createPageKernel({ inputBytes: blockSize, seed: 0n })
    assert.deepEqual(kernel.checkPages({ offset: 0, length: blockSize }, 0), [])

    for (let byte = 0; byte < blockSize; byte += 1) {
      kernel.input[byte] = 1
      assert.deepEqual(kernel.checkPages({ offset: 0, length: blockSize }, 0), [0], `byte ${byte}`)
      kernel.input[byte] = 0
    }
  })

  test('leaves a shorter page at the end alone', () => {
    const kernel = createPageKernel({ inputBytes: 2 * blockSize, seed: 0n })
    kernel.input.fill(1)
    fillPage(kernel, 0, 0)

    assert.deepEqual(kernel.checkPages({ offset: 0, length: blockSize + 100 }, 0), [])
  })

  test('hashes and checks a span anywhere in the input, also an unaligned one', () => {
    const kernel = createPageKernel({ inputBytes: 4 * blockSize, seed: 3n })
    kernel.input.fill(0xee)
    fillPage(kernel, 0, 9)
    const page = kernel.input.slice(0, blockSize)
    const out = new BigUint64Array(1)

    for (const offset of [1, 100, 8191, 3 * blockSize]) {
      kernel.input.set(page, offset)
      assert.deepEqual(kernel.checkPages({ offset, length: blockSize }, 9), [], `offset ${offset}`)
      kernel.hashBlocks({ offset, length: blockSize }, out)
      assert.equal(out[0], xxh64(page, 3n), `offset ${offset}`)
    }
    assert.throws(() => kernel.checkPages({ offset: 3 * blockSize + 1, length: blockSize }, 9))
    assert.throws(() => kernel.hashBlocks({ offset: 3 * blockSize + 1, length: blockSize }, out))
  })

  test('keeps its results out of its input', () => {
    const kernel = createPageKernel({ inputBytes: 8 * blockSize, seed: 0n })
    const content = pseudoRandom(8 * blockSize)
    kernel.input.set(content)

    kernel.hashBlocks({ offset: 0, length: content.length }, new BigUint64Array(8))
    assert.equal(kernel.checkPages({ offset: 0, length: content.length }, 0).length, 8)

    assert.ok(Buffer.from(kernel.input).equals(content))
  })
})

/** XSUM_sanityCheck of the reference implementation: length, seed, hash. */
const publicVectors: readonly (readonly [number, bigint, bigint])[] = [
  [1, 0n, 0xe934a84adb052768n],
  [1, 2_654_435_761n, 0x5014607643a9b4c3n],
  [4, 0n, 0x9136a0dca57457een],
  [14, 0n, 0x8282dcc4994e35c8n],
  [14, 2_654_435_761n, 0xc3bd6bf63deb6df0n],
  [222, 0n, 0xb641ae8cb691c174n],
  [222, 2_654_435_761n, 0x20cb8ab7ae10c14an],
]

const vectorInput = (() => {
  const bytes = Buffer.alloc(222)
  let state = 2_654_435_761n
  for (let index = 0; index < bytes.length; index += 1) {
    bytes[index] = Number(state >> 56n)
    state = BigInt.asUintN(64, state * 11_400_714_785_074_694_797n)
  }
  return bytes
})()

function hashOf(bytes: Uint8Array, seed: bigint): bigint {
  const kernel = createPageKernel({ inputBytes: blockSize, seed })
  kernel.input.set(bytes)
  const out = new BigUint64Array(1)
  kernel.hashBlocks({ offset: 0, length: bytes.length }, out)
  return out[0] ?? 0n
}

function pseudoRandom(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = 1
  for (let index = 0; index < length; index += 1) {
    state = Math.imul(state, 1_103_515_245) + 12_345
    bytes[index] = state >>> 16
  }
  return bytes
}

/** A page of pseudo-random content that is block `block`. */
function fillPage(kernel: PageKernel, index: number, block: number): void {
  const page = pseudoRandom(blockSize)
  page.writeUInt16LE(pageChecksum(page, block), 8)
  kernel.input.set(page, index * blockSize)
}

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value)
const rotate = (value: bigint, bits: bigint): bigint => u64((value << bits) | (u64(value) >> (64n - bits)))

/** XXH64 as the specification writes it down, without any thought of speed. */
function xxh64(bytes: Uint8Array, seed: bigint): bigint {
  const [p1, p2, p3, p4, p5] = [
    0x9e3779b185ebca87n,
    0xc2b2ae3d27d4eb4fn,
    0x165667b19e3779f9n,
    0x85ebca77c2b2ae63n,
    0x27d4eb2f165667c5n,
  ] as const
  const round = (accumulator: bigint, input: bigint): bigint =>
    u64(rotate(u64(accumulator + input * p2), 31n) * p1)
  const data = Buffer.from(bytes)
  let offset = 0
  let hash = u64(seed + p5)
  if (data.length >= 32) {
    const lanes = [u64(seed + p1 + p2), u64(seed + p2), seed, u64(seed - p1)]
    for (; offset + 32 <= data.length; offset += 32) {
      for (const [lane, value] of lanes.entries())
        lanes[lane] = round(value, data.readBigUInt64LE(offset + 8 * lane))
    }
    const turns = [1n, 7n, 12n, 18n]
    hash = u64(lanes.reduce((sum, value, lane) => sum + rotate(value, turns[lane] ?? 0n), 0n))
    for (const value of lanes) hash = u64((hash ^ round(0n, value)) * p1 + p4)
  }
  hash = u64(hash + BigInt(data.length))
  for (; offset + 8 <= data.length; offset += 8) {
    hash = u64(rotate(hash ^ round(0n, data.readBigUInt64LE(offset)), 27n) * p1 + p4)
  }
  if (offset + 4 <= data.length) {
    hash = u64(rotate(hash ^ u64(BigInt(data.readUInt32LE(offset)) * p1), 23n) * p2 + p3)
    offset += 4
  }
  for (; offset < data.length; offset += 1) {
    hash = u64(rotate(hash ^ u64(BigInt(data.readUInt8(offset)) * p5), 11n) * p1)
  }
  hash = u64((hash ^ (hash >> 33n)) * p2)
  hash = u64((hash ^ (hash >> 29n)) * p3)
  return hash ^ (hash >> 32n)
}

/** pg_checksum_page, word by word. That it is PostgreSQL's is proven on its own files in page-kernel.slow.test.ts. */
function pageChecksum(page: Buffer, block: number): number {
  const sums = Uint32Array.from(baseOffsets)
  const mix = (lane: number, word: number): void => {
    const mixed = (sums[lane] ?? 0) ^ word
    sums[lane] = Math.imul(mixed, 16_777_619) ^ (mixed >>> 17)
  }
  for (let word = 0; word < blockSize / 4; word += 1) {
    const value = page.readUInt32LE(4 * word)
    mix(word % 32, word === 2 ? (value & 0xffff_0000) >>> 0 : value)
  }
  for (let word = 0; word < 64; word += 1) mix(word % 32, 0)
  const folded = sums.reduce((left, right) => (left ^ right) >>> 0, block)
  return (folded % 65_535) + 1
}

const baseOffsets = [
  0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c, 0xf8d4474f,
  0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb, 0xe58f764b, 0x187636bc,
  0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4, 0x783125bb, 0x6ca8eaa2, 0xe407eac6,
  0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756,
]

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { maxObjectSizeBytes } from '../storage/object-store.ts'
import { buildPack } from '../../test/support/sample-packs.ts'
import { bytesOf, type SampleUnit } from '../../test/support/repository-samples.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import { seededRandom } from '../../test/support/seeded-random.ts'
import { hashCountOf, type Piece } from './pack-index.ts'
import { PackReader } from './pack-reader.ts'
import { largestUnitBytes, packBufferBytes, PackWriter } from './pack-writer.ts'

const context = testContext()
const key = '00000000000000aa/data/20260220-153000F/000001'
const buffer = new Uint8Array(packBufferBytes)
const { keys } = await testRepository(context)
const newWriter = (): PackWriter => new PackWriter({ buffer, keys: keys.sealing, key, compressionLevel: 0 })

/** One piece that is the whole unit. */
const wholly = ({ length }: Uint8Array): readonly Piece[] => [
  { root: 0, path: bytesOf('f'), offset: 0, length, blockHashes: new BigUint64Array(hashCountOf(length)) },
]

const random = seededRandom(1)
const noise = new Uint8Array(largestUnitBytes).map(() => random(256))

/** As many pieces of one unit as a copy task has slices, with paths as long as a file name may be. */
const manyPieces = Array.from({ length: 1024 }, (_, index): Piece => ({
  root: 2 ** 32 - 1,
  path: bytesOf(`base/16384/${String(index).padStart(244, 'x')}`),
  offset: 2 ** 40,
  length: 1024,
  blockHashes: BigUint64Array.of(2n ** 64n - 1n - BigInt(index)),
}))

describe('PackWriter', () => {
  test('says when the pack is full, and its buffer holds whatever comes until then', () => {
    const writer = newWriter()
    let count = 0
    for (; !writer.isFull; count += 1) assert.equal(writer.addUnit(noise, manyPieces), count)
    const { sizeBytes, unitCount } = writer.finish()

    assert.equal(unitCount, count)
    assert.ok(sizeBytes <= packBufferBytes && packBufferBytes < maxObjectSizeBytes)
    const reader = new PackReader(buffer.subarray(0, sizeBytes), { keys: keys.sealing, key })
    assert.deepEqual(Buffer.from(reader.unit(count - 1)), Buffer.from(noise))
    assert.equal(reader.units.at(-1)?.pieces.length, manyPieces.length)
  })

  test('holds the largest unit that comes when the pack is all but full', () => {
    const half = noise.subarray(0, largestUnitBytes / 2)
    const small = noise.subarray(0, 64)
    const writer = newWriter()
    for (const unit of [noise, half, small]) {
      const roomForUnit = unit.length + 2048
      while (writer.sizeBytes + roomForUnit < 8 * 1024 * 1024) writer.addUnit(unit, wholly(unit))
    }
    assert.ok(!writer.isFull)
    writer.addUnit(noise, manyPieces)

    assert.ok(writer.isFull)
    assert.ok(writer.finish().sizeBytes <= packBufferBytes)
  })

  test('gives the tag by which a manifest recognises the pack', () => {
    const raw = noise.subarray(0, 100)
    const unit: SampleUnit = { raw, pieces: wholly(raw) }
    const [one, other] = [1, 2].map(() => buildPack([unit], { keys: keys.sealing, key }))
    assert.ok(one && other)

    assert.deepEqual(new PackReader(one.bytes, { keys: keys.sealing, key }).indexTag, one.indexTag)
    assert.notDeepEqual(one.indexTag, other.indexTag)
  })

  test('stays within its own buffer when that is shared memory', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(packBufferBytes))
    const writer = new PackWriter({ buffer: shared, keys: keys.sealing, key, compressionLevel: 3 })
    writer.addUnit(noise, wholly(noise))
    const { sizeBytes } = writer.finish()

    const stored = new Uint8Array(shared.subarray(0, sizeBytes))
    assert.deepEqual(
      Buffer.from(new PackReader(stored, { keys: keys.sealing, key }).unit(0)),
      Buffer.from(noise),
    )
  })

  test('takes a buffer that is too small, a unit that is too large, not its pieces or one too many for a bug', () => {
    const options = { keys: keys.sealing, key, compressionLevel: 0 }
    assert.throws(() => new PackWriter({ ...options, buffer: new Uint8Array(1000) }), {
      name: 'AssertionError',
    })
    assert.throws(() => newWriter().addUnit(new Uint8Array(largestUnitBytes + 1), []), {
      name: 'AssertionError',
    })
    assert.throws(() => newWriter().addUnit(noise, wholly(noise.subarray(1))), { name: 'AssertionError' })
    const writer = newWriter()
    while (!writer.isFull) writer.addUnit(noise, wholly(noise))
    assert.throws(() => writer.addUnit(noise, wholly(noise)), { name: 'AssertionError' })
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { packPayload, unpackPayload } from '../codec/compression.ts'
import { createObjectSealer, ObjectOpener, type SealingKeys } from '../codec/sealed-object.ts'
import {
  anyMutation,
  anyUnit,
  bytesOf,
  comparable,
  flipBit,
  isReadingError,
  readsOrRefuses,
  withoutSealing,
  type SampleUnit,
} from '../../test/support/repository-samples.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import { buildPack } from '../../test/support/sample-packs.ts'
import { decodePackIndex, encodePackIndex } from './pack-index.ts'
import { PackReader } from './pack-reader.ts'

const context = testContext()
const key = '00000000000000aa/data/20260220-153000F/000001'
const otherKey = '00000000000000aa/data/20260220-153000F/000002'

const unit = (text: string, repeated: number): SampleUnit => {
  const raw = bytesOf(text.repeat(repeated))
  const piece = { root: 0, path: bytesOf('PG_VERSION'), offset: 0, length: raw.length }
  return { raw, pieces: [{ ...piece, blockHashes: BigUint64Array.of(0x0102_0304_0506_0708n) }] }
}
const samples = [unit('first ', 20), unit('2', 1), unit('third ', 40)]

/** Opens a pack and each of its units. */
function readWhole(bytes: Uint8Array, source: { keys: SealingKeys; key: string }): unknown {
  const reader = new PackReader(bytes, source)
  return comparable(reader.units.map(({ pieces }, number) => ({ pieces, raw: reader.unit(number) })))
}

interface ForgedPack {
  readonly keys: SealingKeys
  readonly indexLength?: number
  readonly unitCount?: number
}

/** A pack with a good seal around frames and a trailer that PackWriter would not write. */
function sealPack(
  frames: readonly Uint8Array[],
  { keys, indexLength, unitCount = frames.length - 1 }: ForgedPack,
): Uint8Array {
  const sealer = createObjectSealer({ keys, kind: 'pack', key })
  const sealed = frames.map((raw, index) =>
    Buffer.concat(sealer.sealFrame(packPayload(raw, 0), index === frames.length - 1)),
  )
  const trailer = Buffer.alloc(12)
  trailer.writeUInt32LE(indexLength ?? sealed.at(-1)?.length ?? 0)
  trailer.writeUInt32LE(unitCount, 4)
  trailer.write('HFPX', 8)
  return Uint8Array.from(Buffer.concat([sealer.header, ...sealed, trailer]))
}

const overhead = 4 + 5 + 16

for (const method of ['aes-256-gcm', 'none'] as const) {
  const repository = await testRepository(context, method === 'none' ? { unlocker: undefined } : {})
  const keys = repository.keys.sealing

  describe(`a pack with sealing method ${method}`, () => {
    test('reads back as it was written', () => {
      fc.assert(
        fc.property(fc.array(anyUnit, { maxLength: 5 }), fc.constantFrom(0, 1, 3, -5), (units, level) => {
          const { bytes, unitCount } = buildPack(units, { keys, key, compressionLevel: level })

          assert.equal(unitCount, units.length)
          assert.deepEqual(readWhole(bytes, { keys, key }), comparable(units))
        }),
      )
    })

    test('cannot be read when any bit of it is flipped (X1)', () => {
      const { bytes } = buildPack(samples, { keys, key })
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        assert.throws(() => readWhole(flipBit(bytes, bit), { keys, key }), isReadingError, `bit ${bit}`)
      }
    })

    test('cannot be read when it is cut at any length, or goes on behind its end (X1)', () => {
      const { bytes } = buildPack(samples, { keys, key })
      for (let length = 0; length < bytes.length; length += 1) {
        const cut = bytes.slice(0, length)
        assert.throws(() => readWhole(cut, { keys, key }), { code: 'damaged' }, `${length} bytes`)
      }
      for (const appended of [new Uint8Array(1), new Uint8Array(12), bytes.slice(-12), bytes.slice(32)]) {
        assert.throws(() => readWhole(Buffer.concat([bytes, appended]), { keys, key }), { code: 'damaged' })
      }
    })

    test('cannot stand in for another one', async () => {
      const { bytes } = buildPack(samples, { keys, key })
      const foreign = await testRepository(context, method === 'none' ? { unlocker: undefined } : {})

      assert.throws(() => readWhole(bytes, { keys, key: otherKey }), { code: 'damaged' })
      assert.throws(() => readWhole(bytes, { keys: foreign.keys.sealing, key }), { code: 'damaged' })
    })

    test('has a tag that another pack under the same key does not have', () => {
      const [one, other] = [samples, samples.slice(0, 2)].map((units) => buildPack(units, { keys, key }))
      assert.ok(one && other)

      assert.notDeepEqual(
        new PackReader(other.bytes, { keys, key }).indexTag,
        new PackReader(one.bytes, { keys, key }).indexTag,
      )
    })

    test('does not take frames of another pack under the same key', () => {
      const [one, other] = [1, 2].map(() => buildPack(samples, { keys, key }).bytes)
      assert.ok(one && other && one.length === other.length)
      const mixed = one.slice()
      mixed.set(other.subarray(32, 90), 32)

      assert.throws(() => readWhole(mixed, { keys, key }), { code: 'damaged' })
    })

    test('is damaged when its trailer says another length of the index, whatever it is', () => {
      const frames = [bytesOf('a unit'), encodePackIndex([])]
      for (const indexLength of [0, 1, 19, 20, 2 ** 16, 2 ** 31, 2 ** 32 - 1]) {
        const bytes = sealPack(frames, { keys, indexLength })
        assert.throws(() => readWhole(bytes, { keys, key }), { code: 'damaged' }, `${indexLength}`)
      }
    })

    test('is damaged when its trailer says another number of units, whatever it is', () => {
      const raw = bytesOf('a unit')
      const piece = { root: 0, path: raw, offset: 0, length: raw.length, blockHashes: new BigUint64Array(1) }
      const index = encodePackIndex([
        { frameOffset: 32, frameLength: raw.length + overhead, pieces: [piece] },
      ])
      assert.doesNotThrow(() => readWhole(sealPack([raw, index], { keys, unitCount: 1 }), { keys, key }))
      for (const unitCount of [0, 2, 257, 2 ** 16, 2 ** 31, 2 ** 32 - 1]) {
        const bytes = sealPack([raw, index], { keys, unitCount })
        assert.throws(() => readWhole(bytes, { keys, key }), { code: 'damaged' }, `${unitCount}`)
      }
    })

    test('gives up its index to whoever has its header and its end alone', () => {
      const { bytes, indexTag } = buildPack(samples, { keys, key })
      const trailer = Buffer.from(bytes.slice(-12))
      const [indexLength, unitCount] = [trailer.readUInt32LE(), trailer.readUInt32LE(4)]
      const opener = new ObjectOpener(bytes.slice(0, 32), { keys, kind: 'pack', key })
      const frame = bytes.slice(-12 - indexLength, -12)
      const index = unpackPayload(opener.openFrame(frame, unitCount, true))
      const units = decodePackIndex(index, {
        key,
        firstFrameOffset: 32,
        framesEnd: bytes.length - 12 - indexLength,
      })

      assert.equal(trailer.toString('latin1', 8), 'HFPX')
      assert.deepEqual(frame.slice(-16), indexTag)
      assert.deepEqual(comparable(units), comparable(new PackReader(bytes, { keys, key }).units))
    })

    test('is damaged when its index does not fit its frames, although the seal is good', () => {
      const raw = bytesOf('a unit')
      const frame = raw.length + overhead
      const piece = { root: 0, path: raw, offset: 0, length: raw.length, blockHashes: new BigUint64Array(1) }
      const whole = { frameOffset: 32, frameLength: frame, pieces: [piece] }
      const open = (units: Parameters<typeof encodePackIndex>[0]): unknown =>
        readWhole(sealPack([raw, encodePackIndex(units)], { keys }), { keys, key })

      assert.deepEqual(open([whole]), comparable([{ pieces: [piece], raw }]))
      for (const units of [
        [],
        [{ ...whole, frameLength: frame - 1 }],
        [{ ...whole, frameLength: 2 ** 50 }],
        [{ ...whole, frameLength: 0, pieces: [] }, whole],
        [
          { ...whole, frameLength: 10 },
          { ...whole, frameLength: frame - 10 },
        ],
      ]) {
        assert.throws(() => open(units), { code: 'damaged' })
      }
    })

    test('is damaged when a unit is longer or shorter than its pieces', () => {
      const raw = bytesOf('a unit')
      for (const length of [0, 5, 7, 8192]) {
        const blockHashes = new BigUint64Array(length === 0 ? 0 : 1)
        const pieces = [{ root: 0, path: raw, offset: 0, length, blockHashes }]
        const units = [{ frameOffset: 32, frameLength: raw.length + overhead, pieces }]
        const bytes = sealPack([raw, encodePackIndex(units)], { keys })

        assert.throws(() => readWhole(bytes, { keys, key }), {
          code: 'damaged',
          message: `reading pack "${key}": unit 0 has 6 bytes, its pieces have ${length}`,
        })
      }
    })

    test('has no units but those in its index', () => {
      const reader = new PackReader(buildPack(samples, { keys, key }).bytes, { keys, key })

      for (const number of [-1, 3, 0.5, Number.NaN, 2 ** 50]) {
        assert.throws(() => reader.unit(number), { code: 'damaged' })
      }
    })

    test('with a good seal and any index is read or damaged (X1)', () => {
      const good = encodePackIndex([{ frameOffset: 32, frameLength: 6 + overhead, pieces: [] }])
      fc.assert(
        fc.property(anyMutation, (mutate) => {
          const bytes = sealPack([bytesOf('a unit'), mutate(good)], { keys })
          readsOrRefuses(() => readWhole(bytes, { keys, key }))
        }),
      )
    })

    test('is told from arbitrary bytes (X1)', () => {
      const { bytes } = buildPack(samples, { keys, key })
      const ends = [new Uint8Array(), bytes.slice(-12)]
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...ends), (noise, end) => {
          const foreign = Uint8Array.from(Buffer.concat([bytes.subarray(0, 32), noise, end]))
          assert.throws(() => readWhole(foreign, { keys, key }), { code: 'damaged' })
        }),
      )
    })
  })
}

describe('a pack', () => {
  test('without sealing is refused in a sealed repository, and the other way round (4.3)', async () => {
    const repository = await testRepository(context)
    const sealed = repository.keys.sealing
    const plain = withoutSealing(repository).keys.sealing

    for (const [written, expected] of [
      [sealed, plain],
      [plain, sealed],
    ] as const) {
      const { bytes } = buildPack(samples, { keys: written, key })
      assert.equal(new PackReader(bytes, { keys: written, key }).units.length, 3)
      assert.throws(() => new PackReader(bytes, { keys: expected, key }), { code: 'damaged' })
    }
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { anyMutation, anyPiece, readsOrRefuses } from '../../test/support/repository-samples.ts'
import { decodePackIndex, encodePackIndex, type Unit } from './pack-index.ts'

const firstFrameOffset = 32
const place = { key: 'ab12/data/golden', firstFrameOffset }

const anyUnits = fc
  .array(fc.record({ frameLength: fc.integer({ min: 20, max: 2 ** 21 }), pieces: fc.array(anyPiece) }), {
    maxLength: 6,
  })
  .map((units) => {
    let frameOffset = firstFrameOffset
    return units.map(({ frameLength, pieces }): Unit => {
      const unit = { frameOffset, frameLength, pieces }
      frameOffset += frameLength
      return unit
    })
  })

const framesEndOf = (units: readonly Unit[]): number =>
  units.reduce((sum, { frameLength }) => sum + frameLength, firstFrameOffset)

/** The beginning of an index of one unit with one piece, up to the length of its path. */
const begun = (): BinaryWriter => new BinaryWriter().varint(1).varint(100).varint(1).varint(0)

const decode = (payload: Uint8Array) => (): unknown => decodePackIndex(payload, { ...place, framesEnd: 332 })

describe('the index of a pack', () => {
  test('reads back as it was written', () => {
    fc.assert(
      fc.property(anyUnits, (units) => {
        const framesEnd = framesEndOf(units)

        assert.deepEqual(decodePackIndex(encodePackIndex(units), { ...place, framesEnd }), units)
      }),
    )
  })

  test('reads back out of a buffer that begins anywhere in memory', () => {
    fc.assert(
      fc.property(anyUnits, fc.nat(9), (units, shift) => {
        const encoded = encodePackIndex(units)
        const shared = Buffer.concat([Buffer.alloc(shift), encoded, Buffer.alloc(3)])
        const payload = shared.subarray(shift, shift + encoded.length)

        assert.deepEqual(
          decodePackIndex(payload, { ...place, framesEnd: framesEndOf(units) }).map(({ pieces }) =>
            pieces.map(({ blockHashes }) => blockHashes),
          ),
          units.map(({ pieces }) => pieces.map(({ blockHashes }) => blockHashes)),
        )
      }),
    )
  })

  test('is damaged when it is cut anywhere or goes on behind its end', () => {
    const unit: Unit = {
      frameOffset: firstFrameOffset,
      frameLength: 300,
      pieces: [
        {
          root: 1,
          path: Buffer.from('base/1'),
          offset: 8192,
          length: 9000,
          blockHashes: new BigUint64Array(2),
        },
      ],
    }
    const encoded = encodePackIndex([unit])
    assert.doesNotThrow(decode(encoded))
    for (let length = 0; length < encoded.length; length += 1) {
      assert.throws(decode(encoded.subarray(0, length)), { code: 'damaged' }, `${length} bytes`)
    }
    assert.throws(decode(Buffer.concat([encoded, Buffer.alloc(1)])), { code: 'damaged' })
  })

  test('is damaged when its units do not end where the index begins', () => {
    const payload = encodePackIndex([{ frameOffset: 32, frameLength: 300, pieces: [] }])

    for (const framesEnd of [0, 32, 331, 333, 2 ** 40]) {
      assert.throws(() => decodePackIndex(payload, { ...place, framesEnd }), {
        code: 'damaged',
        message: `reading the index of pack "${place.key}": its units end at 332, its index begins at ${framesEnd}`,
      })
    }
  })

  test('allocates nothing on the word of a count or length (X1)', () => {
    const huge = [2 ** 26, 2 ** 32, 2 ** 50, 2 ** 53 - 1]
    for (const count of huge) {
      for (const payload of [
        new BinaryWriter().varint(count).finish(),
        new BinaryWriter().varint(1).varint(300).varint(count).finish(),
        begun().varint(count).finish(),
        begun().varint(0).varint(0).varint(count).finish(),
        begun().varint(0).varint(0).varint(count).bytes(Buffer.alloc(64)).finish(),
      ]) {
        assert.throws(() => decodePackIndex(payload, { ...place, framesEnd: 132 }), { code: 'damaged' })
      }
    }
  })

  test('answers arbitrary and changed bytes with units or with damaged (X1)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(400), (payload, framesEnd) =>
        readsOrRefuses(() => decodePackIndex(payload, { ...place, framesEnd })),
      ),
    )
    fc.assert(
      fc.property(anyUnits, fc.array(anyMutation, { minLength: 1, maxLength: 3 }), (units, mutations) => {
        const changed = mutations.reduce((bytes: Uint8Array, mutate) => mutate(bytes), encodePackIndex(units))

        readsOrRefuses(() => decodePackIndex(changed, { ...place, framesEnd: framesEndOf(units) }))
      }),
    )
  })
})

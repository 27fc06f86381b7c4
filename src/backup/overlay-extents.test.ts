import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { Extent } from '../repository/manifest-entry.ts'
import { overlayExtents, type PlacedExtent } from './overlay-extents.ts'

const unit = (length: number, pack: number, offset = 0): Extent => ({
  length,
  source: { kind: 'unit', pack, unit: 0, offset },
})
const zeros = (length: number): Extent => ({ length, source: { kind: 'zeros' } })
const at = (offset: number, extent: Extent): PlacedExtent => ({ offset, ...extent })

describe('overlayExtents', () => {
  test('puts what was stored between what the parent has', () => {
    const overlaid = overlayExtents([unit(100, 1)], [at(20, unit(10, 2)), at(60, zeros(5))], 100)

    assert.deepEqual(overlaid, {
      extents: [unit(20, 1), unit(10, 2), unit(30, 1, 30), zeros(5), unit(35, 1, 65)],
      keptBytes: 85,
    })
  })

  test('drops what lies behind the end of a file that became shorter', () => {
    assert.deepEqual(overlayExtents([unit(50, 1), unit(50, 2)], [at(40, unit(40, 3))], 60), {
      extents: [unit(40, 1), unit(20, 3)],
      keptBytes: 40,
    })
  })

  test('falls short where nobody has anything', () => {
    assert.deepEqual(overlayExtents([unit(10, 1)], [], 30), { extents: [unit(10, 1)], keptBytes: 10 })
  })

  test('joins zeros', () => {
    assert.deepEqual(overlayExtents([zeros(10), unit(10, 1)], [at(5, zeros(5))], 20).extents, [
      zeros(10),
      unit(10, 1),
    ])
  })

  test('gives for every byte what a model gives', () => {
    fc.assert(
      fc.property(anyExtents, anyStored, fc.nat(120), (parent, stored, sizeBytes) => {
        const below = [...bytesOf(parent)]
        const model = Array.from({ length: sizeBytes }, (_, index) => below[index])
        const replaced = new Set<number>()
        for (const extent of stored) {
          for (const [index, byte] of [...bytesOf([extent])].entries()) {
            const place = extent.offset + index
            if (place >= sizeBytes) continue
            model[place] = byte
            replaced.add(place)
          }
        }
        const { extents, keptBytes } = overlayExtents(parent, stored, sizeBytes)
        const found = [...bytesOf(extents)]

        if (model.includes(undefined)) assert.ok(found.length < sizeBytes)
        else assert.deepEqual([found, keptBytes], [model, sizeBytes - replaced.size])
      }),
      { numRuns: 1000 },
    )
  })
})

const anyExtent = fc.oneof(
  fc.integer({ min: 1, max: 20 }).map(zeros),
  fc
    .tuple(fc.integer({ min: 1, max: 20 }), fc.nat(3), fc.nat(50))
    .map(([length, pack, offset]) => unit(length, pack, offset)),
)
const anyExtents = fc.array(anyExtent, { maxLength: 8 })

/** Ascending and apart. */
const anyStored = fc.array(fc.tuple(fc.nat(15), anyExtent), { maxLength: 6 }).map((steps) => {
  let offset = 0
  return steps.map(([gap, extent]) => {
    const placed = at(offset + gap, extent)
    offset += gap + extent.length
    return placed
  })
})

/** Every byte by where it comes from. */
function* bytesOf(extents: readonly Extent[]): Generator<string> {
  for (const { length, source } of extents)
    for (let index = 0; index < length; index += 1)
      yield source.kind === 'zeros' ? 'zero' : `${source.pack}:${source.offset + index}`
}

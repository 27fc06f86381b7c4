import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { readBlockReferences, readRecordBody } from './record-body.ts'

// What real servers write is compared in record-reader.slow.test.ts.
describe('readRecordBody', () => {
  test('finds the main data behind images and block data', () => {
    const image = [100, 0, 32, 0, 0x01 | 0x04, 60, 0]
    const first = [0, 0x30, 4, 0, ...image, ...filled(12, 7), 9, 0, 0, 0]
    const second = [1, 0x80, 0, 0, 8, 0, 0, 0]
    const origin = [253, 1, 0]
    const topLevel = [252, 1, 2, 3, 4]
    const record = view([...first, ...second, ...origin, ...topLevel, 255, 3, ...filled(100 + 4 + 3, 0)])

    assert.deepEqual(readRecordBody(record, 16), { mainDataOffset: record.byteLength - 3, imageBytes: 100 })
    const relation = { tablespace: 0x07070707, database: 0x07070707, relation: 0x07070707, fork: 0 }
    assert.deepEqual(readBlockReferences(record, 16), [
      { ...relation, block: 9, hasImage: true },
      { ...relation, block: 8, hasImage: false },
    ])
  })

  test('knows that 14 marks a compressed image by another bit', () => {
    assert.ok(readRecordBody(withHoleLength(0x02), 14))
    assert.equal(readRecordBody(withHoleLength(0x04), 14), undefined)
    assert.equal(readRecordBody(withHoleLength(0x02), 15), undefined)
    for (const bit of [0x04, 0x08, 0x10]) assert.ok(readRecordBody(withHoleLength(bit), 15))
  })

  test('refuses blocks that do not rise, name no relation, or contradict themselves', () => {
    const location = [...filled(12, 1), 0, 0, 0, 0]
    const refused: readonly (readonly number[])[] = [
      [1, 0, 0, 0, ...location, 0, 0, 0, 0, ...location],
      [0, 0x80, 0, 0, 1, 0, 0, 0],
      [0, 0x20, 0, 0, ...location],
      [0, 0, 1, 0, ...location, 5],
      [33, 0, 0, 0, ...location],
      [0, 0x10, 0, 0, 2, 0, 0, 0, 0, ...location, 5, 5],
    ]

    for (const body of refused) assert.equal(readRecordBody(view(body), 17), undefined)
    assert.ok(readRecordBody(view([0, 0, 0, 0, ...location]), 17))
  })

  test('judges any bytes, and main data never begins inside the record header', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(14 as const, 18 as const),
        (bytes, major) => {
          const record = view([...bytes])
          const body = readRecordBody(record, major)
          assert.ok(
            body === undefined || (body.mainDataOffset >= 24 && body.mainDataOffset <= record.byteLength),
          )
        },
      ),
      { numRuns: 2000 },
    )
  })
})

/** A record with one block, whose image of two bytes has a hole and, if this bit means compression, the hole's length. */
function withHoleLength(bit: number): DataView {
  return view([0, 0x10, 0, 0, 2, 0, 0, 0, 0x01 | bit, 60, 0, ...filled(12, 1), 0, 0, 0, 0, 5, 5])
}

function filled(length: number, value: number): number[] {
  return Array.from({ length }, () => value)
}

/** A record with this behind its header. */
function view(body: readonly number[]): DataView {
  const bytes = new Uint8Array(24 + body.length)
  bytes.set(body, 24)
  return new DataView(bytes.buffer)
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { WalBuilder } from '../../test/support/wal-builder.ts'
import { readNewRelation, readNewSchema } from './catalog-rows.ts'
import { readDatabaseMark } from './database-mark.ts'
import type { WalMajor } from './page-header.ts'
import { readWalRecords } from './record-reader.ts'

const classCatalog = 1259
const heap = { insert: 0x00, overwrite: 0x70 } as const

describe('rows of catalogs in the WAL', () => {
  test('are read when they are logged by themselves', () => {
    const row = Buffer.alloc(140)
    row.writeUInt32LE(16_999, 0)
    row.write('orders', 4)
    row.writeUInt32LE(2200, 68)
    row.writeUInt32LE(17_001, 88)
    row.write('r', 115)
    row.write('m', 119)

    const [before, since] = ([17, 18] as const).map((major) => relationIn(insertOf(row), major))

    const made = { database: 5, oid: 16_999, name: 'orders', namespace: 2200, relation: 17_001 }
    assert.deepEqual(before, { ...made, kind: 'r' })
    assert.deepEqual(since, { ...made, kind: 'm' })
  })

  test('of odd records are none, and nothing fails', () => {
    const odd = fc.constantFrom(0, 1, 24, 300, 7000, 8191, 8192, 60_000)
    const record = fc.record({
      catalog: fc.constantFrom(classCatalog, 1262, 2615),
      image: fc.uint8Array({ maxLength: 300 }),
      imageInfo: fc.integer({ min: 0, max: 31 }),
      holeOffset: odd,
      holeLength: odd,
      data: fc.uint8Array({ maxLength: 120 }),
      main: fc.uint8Array({ maxLength: 6 }),
      info: fc.constantFrom(heap.insert, heap.overwrite),
      major: fc.constantFrom<WalMajor>(14, 15, 18),
    })
    let count = 0
    const property = fc.property(record, ({ major, info, ...parts }) => {
      for (const found of recordsOf({ info, body: recordWithImage(parts, major) }, major)) {
        count += 1
        readNewRelation(found)
        readNewSchema(found)
        readDatabaseMark(found)
      }
    })
    fc.assert(property, { numRuns: 2000 })
    assert.ok(count > 200, `only ${count} of them are records that PostgreSQL would read`)
  })
})

/** XLOG_HEAP_INSERT of one row: a block with data, its relation, the short header of the main data, and they. */
function insertOf(row: Uint8Array): Buffer {
  const data = Buffer.concat([Uint8Array.of(0, 0, 0, 0, 24, 0), row])
  const block = Buffer.alloc(20)
  block.writeUInt8(0x20, 1)
  block.writeUInt16LE(data.length, 2)
  for (const [index, number] of [1663, 5, classCatalog, 7].entries())
    block.writeUInt32LE(number, 4 + 4 * index)
  return Buffer.concat([block, Uint8Array.of(255, 3), data, Uint8Array.of(1, 0, 0)])
}

interface Parts {
  readonly catalog: number
  readonly image: Uint8Array
  readonly imageInfo: number
  readonly holeOffset: number
  readonly holeLength: number
  readonly data: Uint8Array
  readonly main: Uint8Array
}

/** Its lengths add up, whatever else it says. */
function recordWithImage(
  { catalog, image, imageInfo, holeOffset, holeLength, data, main }: Parts,
  major: WalMajor,
): Buffer {
  const isCompressed = (imageInfo & (major === 14 ? 0x02 : 0x1c)) !== 0
  const hasHoleLength = isCompressed && (imageInfo & 0x01) !== 0
  const head = Buffer.alloc(9)
  head.writeUInt8(data.length === 0 ? 0x10 : 0x30, 1)
  head.writeUInt16LE(data.length, 2)
  head.writeUInt16LE(image.length, 4)
  head.writeUInt16LE(holeOffset, 6)
  head.writeUInt8(imageInfo, 8)
  const hole = Buffer.alloc(hasHoleLength ? 2 : 0)
  if (hasHoleLength) hole.writeUInt16LE(holeLength)
  const place = Buffer.alloc(16)
  for (const [index, number] of [1664, 0, catalog, 7].entries()) place.writeUInt32LE(number, 4 * index)
  return Buffer.concat([head, hole, place, Uint8Array.of(255, main.length), image, data, main])
}

function relationIn(body: Uint8Array, major: WalMajor) {
  const [record] = recordsOf({ info: heap.insert, body }, major)
  return record && readNewRelation(record)
}

function recordsOf(record: { readonly info: number; readonly body: Uint8Array }, major: WalMajor) {
  const builder = new WalBuilder({ major })
  builder.append(record)
  return [...readWalRecords(builder.segments)]
}

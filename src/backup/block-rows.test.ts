import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { blockRows, type ReadBlocks } from './block-rows.ts'

const rows = (read: ReadBlocks): string =>
  [...blockRows(read)]
    .map(({ isKept, first, end }) => `${isKept ? 'kept' : 'new'} ${first}-${end}`)
    .join(', ')

const hashes = (...values: readonly bigint[]): BigUint64Array<ArrayBuffer> => BigUint64Array.from(values)

describe('blockRows', () => {
  test('tells rows of blocks that the parent has from others', () => {
    const known = { hashes: hashes(9n, 1n, 2n, 3n, 4n), length: 5 * 8192 }

    assert.equal(
      rows({ hashes: hashes(1n, 2n, 7n, 4n), length: 4 * 8192, known, firstKnown: 1 }),
      'kept 0-2, new 2-3, kept 3-4',
    )
  })

  test('takes a last block for the parent’s only if it is as long there', () => {
    const read = { hashes: hashes(1n, 2n), length: 8192 + 100, firstKnown: 0 }

    assert.equal(rows({ ...read, known: { hashes: hashes(1n, 2n), length: 8192 + 100 } }), 'kept 0-2')
    assert.equal(
      rows({ ...read, known: { hashes: hashes(1n, 2n), length: 8192 + 101 } }),
      'kept 0-1, new 1-2',
    )
    assert.equal(
      rows({ ...read, known: { hashes: hashes(1n, 2n, 3n), length: 3 * 8192 } }),
      'kept 0-1, new 1-2',
    )
  })

  test('takes what is not known for another block', () => {
    assert.equal(
      rows({
        hashes: hashes(0n, 5n),
        length: 2 * 8192,
        known: { hashes: hashes(0n), length: 8192 },
        firstKnown: 0,
      }),
      'new 0-2',
    )
  })
})

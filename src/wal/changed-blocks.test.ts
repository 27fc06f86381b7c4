import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { ChangedBlocks, type ForkId } from './changed-blocks.ts'
import { ChangedFork } from './changed-fork.ts'

const sample: ForkId = { tablespace: 1663, database: 5, relation: 16_384, fork: 0 }

describe('ChangedFork', () => {
  test('knows the blocks that were named, ascending and once each, however many', () => {
    fc.assert(
      fc.property(fc.array(block(), { maxLength: 200 }), block(), block(), (named, one, other) => {
        const fork = new ChangedFork()
        for (const number of named) fork.add(number)

        const expected = [...new Set(named)].toSorted((a, b) => a - b)
        assert.deepEqual([[...fork.blocks()], fork.count], [expected, expected.length])
        for (const number of [...named, one]) assert.equal(fork.has(number), expected.includes(number))
        const within = expected.filter((number) => number >= one && number < other)
        assert.deepEqual(fork.blocksWithin(one, other), within)
        assert.deepEqual(fork.blocksWithin(0, 0x1_0000_0000), expected)
      }),
    )
  })

  test('counts everything at or after its smallest limit as changed, without naming it', () => {
    const fork = new ChangedFork()
    fork.add(3)
    assert.equal(fork.limit, undefined)
    fork.limitTo(100)
    fork.limitTo(200)

    assert.deepEqual([fork.limit, fork.has(3), fork.has(99), fork.has(100)], [100, true, false, true])
    assert.deepEqual([fork.count, fork.blocksWithin(0, 1000)], [1, [3]])
    fork.limitTo(0)
    assert.ok(fork.has(0))
  })

  test('takes some 32 MB for a terabyte that changed all over', () => {
    const fork = new ChangedFork()
    const before = process.memoryUsage()
    for (let number = 0; number < 134_217_728; number += 512) fork.add(number)
    const after = process.memoryUsage()

    assert.equal(fork.count, 262_144)
    assert.ok(after.arrayBuffers - before.arrayBuffers <= 48 << 20)
  })
})

describe('ChangedBlocks', () => {
  test('makes a fork once, and tells apart those that differ in one number only', () => {
    const changes = new ChangedBlocks()
    const ids = [
      sample,
      { ...sample, fork: 2 },
      { ...sample, relation: 1 },
      { ...sample, database: 6 },
      { ...sample, tablespace: 1664 },
    ]
    for (const [index, id] of ids.entries()) changes.forkOf(id).add(index)
    for (const id of ids) changes.forkOf({ ...id }).add(100)

    for (const [index, id] of ids.entries()) {
      assert.deepEqual([...(changes.find(id)?.blocks() ?? [])], [index, 100])
    }
    assert.equal(changes.find({ ...sample, fork: 1 }), undefined)
    assert.deepEqual(new Set([...changes.forks()].map(([id]) => id)), new Set(ids))
  })

  test('unites with another, whose limits and databases count too', () => {
    const changes = new ChangedBlocks()
    changes.forkOf(sample).add(1)
    changes.forkOf(sample).limitTo(50)
    const other = new ChangedBlocks()
    other.forkOf(sample).add(2)
    other.forkOf(sample).limitTo(40)
    other.forkOf({ ...sample, relation: 9 }).add(7)
    other.addDatabase(1663, 5)
    other.addDatabase(1663, 6)

    changes.addAll(other)

    const fork = changes.find(sample)
    assert.deepEqual([...(fork?.blocks() ?? [])], [1, 2])
    assert.equal(fork?.limit, 40)
    assert.deepEqual([...(changes.find({ ...sample, relation: 9 })?.blocks() ?? [])], [7])
    assert.deepEqual(
      [...changes.databases()],
      [
        [1663, 5],
        [1663, 6],
      ],
    )
    assert.deepEqual(
      [changes.hasDatabase(1663, 6), changes.hasDatabase(1664, 6), changes.hasDatabase(1663, 7)],
      [true, false, false],
    )
  })
})

/** Mostly near each other, some at the edges. */
function block(): fc.Arbitrary<number> {
  return fc.oneof(
    fc.nat(64),
    fc.integer({ min: 2000, max: 2100 }),
    fc.integer({ min: 0, max: 0xffff_fffe }),
    fc.constantFrom(0, 31, 32, 2047, 2048, 131_071, 131_072, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe),
  )
}

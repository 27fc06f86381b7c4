import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Stripes } from './stripes.ts'

describe('Stripes', () => {
  test('gives each worker its own numbers in order, and then what is left at the end of another', () => {
    const stripes = new Stripes(7, 2)

    assert.deepEqual([stripes.next(0), stripes.next(1), stripes.next(1), stripes.next(1)], [0, 4, 5, 6])
    assert.deepEqual([stripes.next(1), stripes.next(0), stripes.next(1)], [3, 1, 2])
    assert.deepEqual([stripes.next(0), stripes.next(1)], [undefined, undefined])
  })

  test('gives every number once, also to more workers than there are numbers', () => {
    for (const [count, workers] of [
      [0, 2],
      [1, 3],
      [5, 4],
      [100, 3],
    ] as const) {
      const stripes = new Stripes(count, workers)
      const given: number[] = []
      for (let turn = 0; given.length < count; turn += 1) given.push(stripes.next(turn % workers) ?? -1)

      assert.deepEqual(
        given.toSorted((one, other) => one - other),
        Array.from({ length: count }, (_, index) => index),
      )
      assert.equal(stripes.next(0), undefined)
    }
  })
})

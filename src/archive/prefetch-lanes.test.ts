import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PrefetchLanes } from './prefetch-lanes.ts'

describe('PrefetchLanes', () => {
  test('become more while a store keeps us waiting, up to ten, and not while we compute', () => {
    const lanes = new PrefetchLanes()
    for (const wait of [
      { waitedMs: 40, cpuMs: 35 },
      { waitedMs: 5, cpuMs: 0 },
    ]) {
      lanes.noteWait(wait)
      assert.equal(lanes.count, 3)
    }

    for (let times = 0; times < 20; times += 1) lanes.noteWait({ waitedMs: 150, cpuMs: 20 })

    assert.equal(lanes.count, 10)
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { choosePacks, type UsedPack } from './choose-packs.ts'

const mebibyte = 1024 * 1024
const pack = (index: number, liveMb: number, rawMb = 20): UsedPack => ({
  index,
  liveBytes: liveMb * mebibyte,
  rawBytes: rawMb * mebibyte,
})

/** The indexes of those that are chosen, when the backup has so many live megabytes in all and stored so many. */
function chosen(packs: readonly UsedPack[], { live = 0, stored = 0 } = {}): readonly number[] {
  const inPacks = packs.reduce((sum, { liveBytes }) => sum + liveBytes, 0)
  const sizes = { liveBytes: live * mebibyte + inPacks, storedBytes: stored * mebibyte }
  return choosePacks(packs, sizes).map(({ index }) => index)
}

describe('choosePacks', () => {
  test('leaves packs alone while few enough of their bytes are dead', () => {
    assert.deepEqual(chosen([pack(0, 14), pack(1, 14)]), [])
    assert.deepEqual(chosen([pack(0, 1)], { live: 37 }), [])
  })

  test('moves the least used ones until few enough dead bytes are left', () => {
    const packs = [pack(0, 14), pack(1, 2), pack(2, 1), pack(3, 14)]

    assert.deepEqual(chosen(packs, { live: 40 }), [2])
    assert.deepEqual(chosen(packs), [2, 1])
  })

  test('does not move what nobody needs any more', () => {
    assert.deepEqual(chosen([pack(0, 0), pack(1, 1)]), [1])
  })

  test('moves no more than its budget', () => {
    const many = Array.from({ length: 100 }, (_, index) => pack(index, 8))

    assert.equal(chosen(many).length, 8)
    assert.equal(chosen(many, { stored: 40 }).length, 18)
  })

  test('keeps up with any load: the dead bytes do not grow without bound', () => {
    // Each backup stores 30 MiB in a pack of its own and kills as much, spread over all packs by what is alive in them.
    let packs: UsedPack[] = Array.from({ length: 20 }, (_, index) => pack(index, 20))
    const live = 400 * mebibyte
    for (let backup = 0; backup < 500; backup += 1) {
      const stored = 30 * mebibyte
      const remaining = packs.map((one) => ({ ...one, liveBytes: (one.liveBytes * (live - stored)) / live }))
      const moved = choosePacks(remaining, { liveBytes: live, storedBytes: stored })
      const movedBytes = moved.reduce((sum, { liveBytes }) => sum + liveBytes, 0)
      packs = [...remaining.filter((one) => !moved.includes(one)), pack(0, 30, 30)]
      if (movedBytes > 0) packs.push({ index: 0, liveBytes: movedBytes, rawBytes: movedBytes })
      const dead = packs.reduce((sum, { rawBytes, liveBytes }) => sum + rawBytes - liveBytes, 0)
      assert.ok(dead <= live * 0.6, `backup ${backup}: ${dead / live}`)
    }
  })
})

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { describe, test } from 'node:test'
import { simulate } from './simulate.ts'

/** `npm run test:simulator` lives through a hundred thousand. */
const histories = 300

describe('the protocol of the repository (K10)', () => {
  test('keeps every promise through hundreds of histories of crashes, failures, pauses and lagging listings', async (t) => {
    const first = randomInt(2 ** 31)
    t.diagnostic(
      `seeds ${first} to ${first + histories - 1}; "npm run test:simulator -- --seed N" replays one`,
    )
    let published = 0
    let dumped = 0
    for (let seed = first; seed < first + histories; seed += 1) {
      const { broken, published: backups, dumped: dumps } = await simulate(seed)
      assert.deepEqual(broken, [], `seed ${seed}`)
      published += backups
      dumped += dumps
    }
    // A world in which nothing succeeds would prove nothing.
    assert.ok(published > histories, `${published} backups in ${histories} histories`)
    assert.ok(dumped > histories / 4, `${dumped} dumps in ${histories} histories`)
  })

  test('lives through the same history again with the same seed', async () => {
    for (const seed of [1, 2, 3]) {
      const [once, again] = [await simulate(seed), await simulate(seed)]
      assert.deepEqual(once.trace.map(withoutNames), again.trace.map(withoutNames), `seed ${seed}`)
    }
  })
})

/** Scopes of restores and temporary names are random and decide nothing. */
const withoutNames = (line: string): string => line.replaceAll(/[0-9a-f]{16}/g, 'RANDOM')

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createScratch } from '../support/scratch.ts'
import { growChain } from './incremental-chain.ts'

/** Always the same here; other seeds are for `npm run test:soak`. */
const seed = Number(process.env['HOLDFAST_SEED'] ?? 1_028_015_203)

describe(`a chain of incrementals of seed ${seed}`, () => {
  test('restores from each that is left, whatever was killed, deleted, swept and moved (R55, R56, R65)', async () => {
    await using scratch = await createScratch('chain')
    const told: string[] = []
    try {
      const tell = (line: string): void => void told.push(line)
      const options = { seed, major: 17, incrementals: 5, deleteEvery: 2, tell } as const
      const { deleted, compacted } = await growChain(options, scratch)
      assert.ok(deleted === 2 && compacted > 0, `${deleted} deleted, ${compacted} compacted`)
    } catch (cause) {
      throw new Error(`HOLDFAST_SEED=${seed} replays it:\n${told.join('\n')}`, { cause })
    }
  })
})

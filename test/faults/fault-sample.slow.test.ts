import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createScratch } from '../support/scratch.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { faultCases } from './case-table.ts'
import { faultsOf, recordCalls, sweep, tapTrial } from './sweep.ts'
import { faultKinds } from './tap-settings.ts'

/** HOLDFAST_SEED=N replays a sample. */
const seed = Number(process.env['HOLDFAST_SEED'] ?? Date.now() % 1_000_000)

describe('a command that meets a fault', () => {
  for (const faultCase of faultCases) {
    const { name, sampleSize } = faultCase
    test(`loses nothing, says so in one line, and does its work when it is run again: ${name} (K1, K2, U1-U6)`, async (t) => {
      t.diagnostic(`seed ${seed}`)
      const random = seededRandom(seed)
      await using scratch = await createScratch('sample')
      await using stage = await faultCase.stage(scratch)
      const calls = await recordCalls(stage)
      const all = faultsOf(calls)
      const faults = Array.from({ length: sampleSize }, (_, index) => {
        const kind = faultKinds[index % faultKinds.length]
        const ofKind = all.filter((fault) => fault.kind === kind)
        return ofKind[random(ofKind.length)] ?? assert.fail(`${name} has no call that can fail by ${kind}`)
      })

      const trials = faults.map((fault) => tapTrial(fault))
      const { failures } = await sweep(stage, trials, (line) => t.diagnostic(line))

      assert.deepEqual(failures, [])
    })
  }
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createScratch } from '../support/scratch.ts'
import { restore } from './cases/restore.ts'
import { faultsOf, recordCalls, sweep, tapTrial } from './sweep.ts'

/** HOLDFAST_FAULT_STRIDE=1 takes every fault. */
const stride = Number(process.env['HOLDFAST_FAULT_STRIDE'] ?? '7')

describe('a restore that meets a fault around its promotion', () => {
  test('is completed by the same command, which leaves nothing of ours (K1, K2, R44, R47)', async (t) => {
    await using scratch = await createScratch('end')
    await using stage = await restore.stage(scratch)
    const calls = await recordCalls(stage)
    const stopped = calls.findLast(({ path }) => path.endsWith('/global/pg_control'))?.call
    assert.ok(stopped !== undefined, 'the look at the cluster after its server was stopped was not found')
    const last = calls.findLast(({ path }) => path.endsWith('/data'))?.call ?? calls.length
    // From before the marker says that recovery has come to its goal.
    const late = faultsOf(calls).filter(
      ({ kind, at }) => (kind === 'kill' || kind === 'EIO') && at > stopped - 15 && at <= last,
    )
    const faults = late.filter((_, index) => index % stride === 0)
    t.diagnostic(`${faults.length} of ${late.length} faults`)

    const trials = faults.map((fault) => tapTrial(fault))
    const { failures } = await sweep(stage, trials, (line) => t.diagnostic(line))

    assert.deepEqual(failures, [])
  })
})

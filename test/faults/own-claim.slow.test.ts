import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createScratch } from '../support/scratch.ts'
import { expire } from './cases/expire.ts'
import { faultsOf, recordCalls, sweep, tapTrial } from './sweep.ts'

describe('expire, on a disk that is full right after it has claimed a lease,', () => {
  test('does not take its own claim for that of another, and does its work (K2, R68)', async (t) => {
    await using scratch = await createScratch('claim')
    await using stage = await expire.stage(scratch)
    const calls = await recordCalls(stage)
    const claims = new Set(
      calls
        .filter(({ operation, path }) => operation === 'fsync' && /\/lease\/(?:backup|sweep)$/.test(path))
        .map(({ call }) => call),
    )
    const faults = faultsOf(calls).filter(({ kind, at }) => kind === 'ENOSPC' && claims.has(at))
    assert.ok(faults.length >= 2, 'no claim was made durable')

    const trials = faults.map((fault) => tapTrial(fault))
    const { failures } = await sweep(stage, trials, (line) => t.diagnostic(line))

    assert.deepEqual(failures, [])
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { begins, runWithTap } from './faults/run-with-tap.ts'
import { createArchiveStage, segmentName } from './support/archive-stage.ts'
import { expectOk } from './support/holdfast.ts'
import { createScratch } from './support/scratch.ts'

describe('archive-get', () => {
  test('does nothing more that can fail once the segment is in place (R39)', async () => {
    await using scratch = await createScratch('calls')
    const stage = await createArchiveStage(scratch)
    const { folder, dataDirectory: cwd, configuration: config } = stage
    expectOk(await stage.run(['archive-push', `pg_wal/${segmentName(3)}`]))

    const args = ['archive-get', segmentName(3), 'pg_wal/RECOVERYXLOG']
    const options = { config, cwd, asUser: scratch.user }
    const { result, events } = await runWithTap({ args, options, folder }, { isDetailed: true })

    expectOk(result)
    const calls = begins(events)
    const inPlace = calls.findLastIndex(
      ({ operation, to = '' }) => operation === 'rename' && to.endsWith('RECOVERYXLOG'),
    )
    assert.notEqual(inPlace, -1)
    assert.deepEqual(
      calls.slice(inPlace + 1).map(({ operation, path }) => `${operation} ${path}`),
      [],
    )
  })
})

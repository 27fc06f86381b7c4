import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createArchiveStage, segmentName } from './support/archive-stage.ts'
import { expectOk } from './support/holdfast.ts'
import { createScratch } from './support/scratch.ts'

describe('archive-push --ahead', () => {
  test('takes no acknowledgement for a repository that was added after it was made (R22, R27)', async () => {
    await using scratch = await createScratch('acks')
    const stage = await createArchiveStage(scratch, { repositories: ['first', 'second'] })
    const args = ['archive-push', '--ahead', `pg_wal/${segmentName(3)}`]
    const acknowledged = async (): Promise<readonly string[]> =>
      (await readdir(join(stage.dataDirectory, 'pg_wal', 'holdfast-ack'))).filter(
        (name) => !name.startsWith('.'),
      )
    expectOk(await stage.run(args))
    assert.deepEqual(await acknowledged(), [segmentName(4), segmentName(5)])

    await stage.configure(['first', 'second'])
    expectOk(await stage.run(args))

    assert.deepEqual(await acknowledged(), [segmentName(4), segmentName(5)])
    const entries = await readdir(stage.repository('second'), { recursive: true })
    for (const number of [3, 4, 5])
      assert.ok(entries.some((entry) => entry.includes(`/${segmentName(number)}-`)))
  })
})

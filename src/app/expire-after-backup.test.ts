import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { OperationError } from '../domain/operation-error.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { testContext } from '../../test/support/repository.ts'
import { storeBackup, storeWal } from '../../test/support/stored-cluster.ts'
import { expireAfterBackup } from './expire-after-backup.ts'

describe('expireAfterBackup', () => {
  test('tells a sweep that failed from an expire that failed', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const error = new OperationError('store-failed', 'the disk said no')
    const at = { operation: 'list', subject: '/data/' } as const
    const store = new FaultyStore(new MemoryStore('memory', clock), [
      { kind: 'fail', when: 'before', error, at },
    ])
    const place = await createPlace({ store })
    await storeWal(place, { from: 1, to: 40 }, context)
    for (const day of [10, 11, 12, 13]) {
      const backup = { label: `202701${day}-000000F`, firstSegment: day, lastSegment: day }
      await storeBackup(place, backup, context)
    }
    const stateDirectory = await mkdtemp(join(tmpdir(), 'hf-after-'))

    await expireAfterBackup(
      { afterBackup: true, count: 3, minimum: 2 },
      { ...place, name: 'local', stateDirectory },
      context,
    )

    const told = context.events.map((event) => ('message' in event ? event.message : ''))
    assert.ok(told.includes('backup 20270110-000000F has expired'))
    assert.match(told.at(-1) ?? '', /complete, but what expired.* could not be deleted yet: the disk said no/)
    await rm(stateDirectory, { recursive: true })
  })
})

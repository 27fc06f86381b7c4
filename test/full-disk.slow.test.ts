import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../src/domain/backup-label.ts'
import { isOperationError } from '../src/domain/operation-error.ts'
import { changeCatalogue, readCatalogue } from '../src/repository/catalogue.ts'
import { defaultGraceMs, sweepCluster } from '../src/retention/sweep.ts'
import { openPosixStore } from '../src/storage/posix/posix-store.ts'
import { createPlace } from './support/archive-fixture.ts'
import { ManualClock } from './support/manual-clock.ts'
import { testContext } from './support/repository.ts'
import { makeSmallDisk } from './support/small-disk.ts'
import { listKeys, storeBackup, storeWal } from './support/stored-cluster.ts'

describe('a repository on a full disk (S1)', () => {
  test('can forget and sweep a backup, and takes WAL again afterwards', async () => {
    await using disk = await makeSmallDisk('size=12m')
    const clock = new ManualClock()
    const context = testContext({ clock })
    const place = await createPlace({ store: disk.store })
    const { cluster, repository } = place
    const older = parseBackupLabel('20260219-120000F')
    await storeWal(place, { from: 1, to: 4 }, context)
    await storeBackup(place, { label: older, firstSegment: 2, lastSegment: 2 }, context)
    await storeBackup(place, { label: '20260220-120000F', firstSegment: 4, lastSegment: 4 }, context)
    const bulk = `${cluster.id}/data/${older}/`
    await fillDisk((number) =>
      repository.store.putIfAbsent(`${bulk}${100_000 + number}`, new Uint8Array(1_000_000)),
    )
    await fillDisk((number) => repository.store.putIfAbsent(`filler/${number}`, new Uint8Array(1)))
    await assert.rejects(storeWal(place, { from: 5, to: 5 }, context), isFull)

    {
      await using store = await openPosixStore(disk.path, { access: 'write', usesReserve: true }, context)
      const freeing = { ...place, repository: { ...repository, store } }
      const change = { kind: 'remove', labels: [older], ownWal: [] } as const
      await changeCatalogue(freeing.repository, { clusterId: cluster.id, change, confirm: allowed }, context)
      await sweepCluster({ graceMs: defaultGraceMs, isDryRun: false }, freeing, context)
      clock.skip(defaultGraceMs)
      const { deleted } = await sweepCluster({ graceMs: defaultGraceMs, isDryRun: false }, freeing, context)
      assert.ok(deleted.pack.count > 5)
    }

    await storeWal(place, { from: 5, to: 5 }, context)
    assert.deepEqual(await listKeys(place, 'data'), ['20260220-120000F/000001'])
    assert.equal((await readCatalogue(repository, cluster.id, context)).backups.length, 1)
  })
})

const allowed = (): Promise<void> => Promise.resolve()
const isFull = (error: unknown): boolean => isOperationError(error, 'no-space')

async function fillDisk(store: (number: number) => Promise<unknown>): Promise<void> {
  for (let number = 0; ; number += 1) {
    try {
      await store(number)
    } catch (error) {
      assert.ok(isFull(error), String(error))
      return
    }
  }
}

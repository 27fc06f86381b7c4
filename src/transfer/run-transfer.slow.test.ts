import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPlace, temporaryFolder } from '../../test/support/archive-fixture.ts'
import { contentsOf } from '../../test/support/archived-content.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import {
  archivedSegments,
  assertSame,
  createSource,
  listed,
  memoryStore,
  olderBackup,
  transfer,
} from '../../test/support/transfer-site.ts'
import { unpackBackup } from '../../test/support/unpack-backup.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { leaseFolder } from '../repository/object-keys.ts'

describe('runTransfer, when a call of a store fails,', () => {
  test('lists nothing that is not whole, whichever call it is, and completes the next time', async () => {
    const inner = await createSource({ labels: [olderBackup] })
    let struck = true
    for (let call = 1; struck; call += 1) {
      struck = false
      for (const side of ['from', 'to'] as const) {
        for (const when of ['before', 'after'] as const) {
          const store = memoryStore()
          const to = await createPlace({ store })
          const source = new FaultyStore(inner.repository.store)
          const from = { ...inner, repository: { ...inner.repository, store: source } }
          const faulty = side === 'to' ? store : source
          faulty.plan({
            kind: 'fail',
            error: new OperationError('store-failed', 'x', { cause: new Error('the network') }),
            when,
            at: { call },
          })

          await transfer(from, to).catch((error: unknown) =>
            assert.ok(isOperationError(error), String(error)),
          )

          struck ||= faulty.calls.some(({ fault }) => fault !== undefined)
          faulty.heal()
          await assertWhole(to)
          await releaseLeases(to)
          await transfer(inner, to)
          await assertSame(inner, to)
        }
      }
    }
  })
})

/** Every listed backup can be unpacked. */
async function assertWhole(place: ArchivePlace): Promise<void> {
  for (const backup of await listed(place)) {
    await using folder = await temporaryFolder()
    await unpackBackup(place, backup, folder.path)
    const own = archivedSegments[backup.label === olderBackup ? 0 : 1] ?? assert.fail()
    assert.equal((await contentsOf(place, own)).length, 1)
  }
}

/** As if the process of a copying that failed were dead. */
async function releaseLeases({ repository, cluster }: ArchivePlace): Promise<void> {
  const keys: string[] = []
  for await (const { key } of repository.store.list(leaseFolder(cluster.id))) keys.push(key)
  await repository.store.delete(keys)
}

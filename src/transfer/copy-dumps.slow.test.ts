import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPlace, recordingContext } from '../../test/support/archive-fixture.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { storeDump } from '../../test/support/stored-dump.ts'
import { flipByte, memoryStore, transfer } from '../../test/support/transfer-site.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import { readDumpHead, readMember } from '../repository/dump-reader.ts'
import { dumpPartKey, leaseFolder } from '../repository/object-keys.ts'
import { copyListedDump } from './copy-dumps.ts'

const label = parseBackupLabel('20260219-130000L')
const contents = { more: Buffer.alloc(3000, 'more') }

describe('a dump that is copied', () => {
  test('is listed only when it is whole, whichever call of a store fails, and is completed the next time', async () => {
    await failEachCall(async (places) => {
      await storeDump(places.from, { label, contents }, recordingContext())
      return {
        attempt: ({ from, to }) => copyListedDump(label, { from, to }, recordingContext()),
        judge: () => assertWhole(places.to, { atLeast: 0 }),
      }
    })
  })

  test('is made whole by a repair that is repeated, whichever call of a store fails', async () => {
    await failEachCall(async ({ from, to }) => {
      await storeDump(from, { label, contents }, recordingContext())
      await copyListedDump(label, { from, to }, recordingContext())
      const key = dumpPartKey(to.cluster.id, { label, number: 3 })
      await flipByte(to, key)
      return {
        attempt: (places) => transfer(places.from, places.to, { damaged: [key] }),
        judge: () => Promise.resolve(),
      }
    })
  })
})

interface Places {
  readonly from: ArchivePlace
  readonly to: ArchivePlace
}

interface Trial {
  readonly attempt: (places: Places) => Promise<unknown>
  /** Right after an attempt that met a failure. */
  readonly judge: () => Promise<void>
}

/** Tries with the first call failing, then with the second one, until there is none that could fail. */
async function failEachCall(prepare: (places: Places) => Promise<Trial>): Promise<void> {
  for (const side of ['from', 'to'] as const) {
    for (const when of ['before', 'after'] as const) {
      let struck = true
      let calls = 0
      for (let call = 1; struck; call += 1) {
        const places = { from: await createPlace(), to: await createPlace({ store: memoryStore() }) }
        const { attempt, judge } = await prepare(places)
        const store = new FaultyStore(places[side].repository.store)
        const cause = new Error('the network')
        const error = new OperationError('store-failed', 'x', { cause })
        store.plan({ kind: 'fail', error, when, at: { call } })
        const { repository } = places[side]

        await attempt({ ...places, [side]: { ...places[side], repository: { ...repository, store } } }).catch(
          (thrown: unknown) => assert.ok(isOperationError(thrown), String(thrown)),
        )

        struck = store.calls.some(({ fault }) => fault !== undefined)
        calls += struck ? 1 : 0
        await judge()
        await releaseLeases(places.to)
        await attempt(places)
        await assertWhole(places.to, { atLeast: 1 })
      }
      assert.ok(calls > 5, String(calls))
    }
  }
}

/** What is listed can be read to its end. */
async function assertWhole(place: ArchivePlace, { atLeast }: { readonly atLeast: number }): Promise<void> {
  const { dumps } = await readCatalogue(place.repository, place.cluster.id, recordingContext())
  assert.ok(dumps.length >= atLeast)
  for (const entry of dumps) {
    const { members } = await readDumpHead(place, entry, recordingContext())
    let rawBytes = 0
    for (const member of members)
      for await (const bytes of readMember(place, { entry, member }, recordingContext()))
        rawBytes += bytes.length
    assert.equal(rawBytes, entry.rawBytes)
  }
}

/** As if the process of a copying that failed were dead. */
async function releaseLeases({ repository, cluster }: ArchivePlace): Promise<void> {
  const keys: string[] = []
  for await (const { key } of repository.store.list(leaseFolder(cluster.id))) keys.push(key)
  await repository.store.delete(keys)
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPlace, recordingContext } from '../../test/support/archive-fixture.ts'
import { createSource, memoryStore, olderBackup } from '../../test/support/transfer-site.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { systemClock } from '../platform/system-clock.ts'
import { packKey } from '../repository/object-keys.ts'
import { PackReader } from '../repository/pack-reader.ts'
import { FeedingStore } from './feeding-store.ts'
import { PackFeed } from './pack-feed.ts'

const pack = { label: parseBackupLabel(olderBackup), number: 1 }

describe('PackFeed', () => {
  test('stores packs in the other repository as that one has them', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    await using feed = new PackFeed({ from, to }, recordingContext())

    feed.offer(packKey(from.cluster.id, pack), await storedPack(from))
    await feed.settle()

    const key = packKey(to.cluster.id, pack)
    const bytes = (await to.repository.store.get(key)) ?? assert.fail()
    assert.ok(new PackReader(bytes, { keys: to.repository.keys.sealing, key }).units.length > 0)
  })

  test('passes over what is no pack, and packs that come while it holds two', async () => {
    const store = memoryStore()
    const [from, to] = [await createSource(), await createPlace({ store })]
    store.plan({
      kind: 'delay',
      ms: 50,
      clock: systemClock,
      at: { operation: 'putIfAbsent', subject: '/data/' },
    })
    await using feed = new PackFeed({ from, to }, recordingContext())

    feed.offer(`${from.cluster.id}/wal/x`, Buffer.from('no pack'))
    for (const number of [1, 1, 1, 1, 1])
      feed.offer(packKey(from.cluster.id, { ...pack, number }), await storedPack(from))
    await feed.settle()

    const puts = store.calls.filter(
      ({ operation, subject }) => operation === 'putIfAbsent' && subject.includes('/data/'),
    )
    assert.equal(puts.length, 2)
  })

  test('fails nobody when the other repository does, and offers it nothing more', async () => {
    const store = memoryStore()
    const [from, to] = [await createSource(), await createPlace({ store })]
    const error = new OperationError('no-space', 'it is full')
    store.plan({ kind: 'fail', error, when: 'before', at: { operation: 'putIfAbsent', subject: '/data/' } })
    const context = recordingContext()
    await using feed = new PackFeed({ from, to }, context)

    for (let round = 0; round < 3; round += 1) {
      feed.offer(packKey(from.cluster.id, pack), await storedPack(from))
      await feed.settle()
    }

    assert.equal(store.calls.filter(({ fault }) => fault !== undefined).length, 1)
    assert.match(JSON.stringify(context.events), /takes no packs now: it is full/)
  })

  test('removes what it has stored, and nothing else, when the backup fails', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    const [key, other] = [1, 2].map((number) => packKey(to.cluster.id, { ...pack, number }))
    await to.repository.store.putIfAbsent(other ?? '', Buffer.from('of somebody else'))
    await using feed = new PackFeed({ from, to }, recordingContext())
    feed.offer(packKey(from.cluster.id, pack), await storedPack(from))

    await feed.discard()

    assert.equal(await to.repository.store.head(key ?? ''), undefined)
    assert.notEqual(await to.repository.store.head(other ?? ''), undefined)
  })
})

describe('FeedingStore', () => {
  test('tells of what it has stored, once, and of nothing that was there', async () => {
    const told: string[] = []
    await using store = new FeedingStore(memoryStore(), (key, bytes) => told.push(`${key} ${bytes.length}`))

    assert.equal(await store.putIfAbsent('a', Buffer.from('xy')), 'created')
    assert.equal(await store.putIfAbsent('a', Buffer.from('xy')), 'exists')

    assert.deepEqual(told, ['a 2'])
    assert.deepEqual(await store.get('a'), new Uint8Array(Buffer.from('xy')))
  })
})

async function storedPack({ repository, cluster }: ArchivePlace): Promise<Uint8Array> {
  return (await repository.store.get(packKey(cluster.id, pack))) ?? assert.fail()
}

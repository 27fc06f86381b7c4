import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { parseLsn } from '../domain/lsn.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import type { BackupEntry, ListedBackup } from './backup-entry.ts'
import { changeCatalogue, readCatalogue, readCatalogueEntries, type CatalogueChange } from './catalogue.ts'
import type { DumpEntry } from './dump-entry.ts'
import { catalogKey } from './object-keys.ts'
import { encodeRecord, RecordReader } from './record.ts'
import { readObject, writeObject } from './sealed-store.ts'

const context = testContext()
const clusterId = '00000000000000aa'
const allowed = (): Promise<void> => Promise.resolve()

function backup(label: string): BackupEntry {
  return {
    label: parseBackupLabel(label),
    type: 'full',
    major: 18,
    timeline: toTimelineId(1),
    startLsn: parseLsn('0/2000028'),
    stopLsn: parseLsn('FF/2000100'),
    startedAt: parseTargetTime('2026-02-20T15:30:00.000001Z'),
    stoppedAt: parseTargetTime('2026-02-20T15:31:00Z'),
    fileCount: 3,
    restoredBytes: 2 ** 52,
    storedBytes: 10,
    damagedPageCount: 0,
    revision: 1,
    manifestDigest: 'ab'.repeat(16),
  }
}

const dump = (label: string): DumpEntry => ({
  label: parseBackupLabel(label),
  startedAt: parseTargetTime('2026-02-20T16:00:00.000001Z'),
  stoppedAt: parseTargetTime('2026-02-20T16:01:00Z'),
  databases: ['app', 'größe'],
  databaseCount: 2,
  formats: ['plain', 'custom'],
  rawBytes: 2 ** 41,
  storedBytes: 2 ** 40,
  headDigest: 'cd'.repeat(16),
})

const listed = (label: string): ListedBackup => ({
  ...backup(label),
  isPinned: false,
  walRetention: 'onward',
})

const publish = (label: string) =>
  ({ clusterId, change: { kind: 'publish', backup: backup(label) }, confirm: allowed }) as const

describe('the catalogue', () => {
  test('is empty before anything was listed', async () => {
    const repository = await testRepository(context)

    assert.deepEqual(await readCatalogue(repository, clusterId, context), {
      number: 0,
      digest: '',
      backups: [],
      dumps: [],
    })
  })

  test('lists what was published, in order, without what was removed', async () => {
    const repository = await testRepository(context)
    await changeCatalogue(repository, publish('20260220-153000F'), context)
    await changeCatalogue(repository, publish('20260221-153000F'), context)
    const change = { kind: 'remove', labels: [parseBackupLabel('20260220-153000F')], ownWal: [] } as const
    const changed = await changeCatalogue(repository, { clusterId, change, confirm: allowed }, context)

    const read = await readCatalogue(repository, clusterId, context)
    assert.deepEqual(read, changed)
    assert.deepEqual(read.backups, [listed('20260221-153000F')])
    assert.equal(read.number, 3)
  })

  test('remembers what was pinned and whose WAL is kept, also over a fence', async () => {
    const repository = await testRepository(context)
    const [older, newer] = ['20260220-153000F', '20260221-153000F'].map((label) => parseBackupLabel(label))
    assert.ok(older !== undefined && newer !== undefined)
    const apply = (change: CatalogueChange) =>
      changeCatalogue(repository, { clusterId, change, confirm: allowed }, context)
    await changeCatalogue(repository, publish(older), context)
    await changeCatalogue(repository, publish(newer), context)
    await apply({ kind: 'pin', label: older })
    await apply({ kind: 'pin', label: newer })
    await apply({ kind: 'unpin', label: newer })
    await apply({ kind: 'remove', labels: [], ownWal: [older] })
    await apply({ kind: 'fence' })

    const { backups, number } = await readCatalogue(repository, clusterId, context)
    assert.deepEqual(backups, [{ ...listed(older), isPinned: true, walRetention: 'own' }, listed(newer)])
    assert.equal(number, 7)
  })

  test('keeps dumps through every change of backups, and backups through every change of dumps', async () => {
    const repository = await testRepository(context)
    const apply = (change: CatalogueChange) =>
      changeCatalogue(repository, { clusterId, change, confirm: allowed }, context)
    const older = parseBackupLabel('20260220-153000F')
    const newer = parseBackupLabel('20260221-153000F')
    await apply({ kind: 'publish', backup: backup(older) })
    await apply({ kind: 'publish-dump', dump: dump('20260220-160000L') })
    await apply({ kind: 'publish', backup: backup(newer) })
    await apply({ kind: 'publish-dump', dump: dump('20260220-170000L') })
    await apply({ kind: 'pin', label: parseBackupLabel('20260220-170000L') })
    await apply({ kind: 'pin', label: newer })
    await apply({ kind: 'revise', backup: { ...backup(newer), revision: 2 } })
    await apply({ kind: 'remove', labels: [older], ownWal: [] })
    await apply({ kind: 'fence' })
    await apply({ kind: 'remove-dumps', labels: [parseBackupLabel('20260220-160000L')] })

    const { backups, dumps } = await readCatalogue(repository, clusterId, context)
    assert.deepEqual(backups, [{ ...listed(newer), revision: 2, isPinned: true }])
    assert.deepEqual(dumps, [{ ...dump('20260220-170000L'), isPinned: true }])
  })

  test('lists no dump twice', async () => {
    const repository = await testRepository(context)
    const change = { kind: 'publish-dump', dump: dump('20260220-160000L') } as const
    await changeCatalogue(repository, { clusterId, change, confirm: allowed }, context)

    await assert.rejects(
      changeCatalogue(repository, { clusterId, change, confirm: allowed }, context),
      (error) => isOperationError(error, 'busy'),
    )
  })

  test('is of the first version exactly while it lists no dump', async () => {
    const repository = await testRepository(context)
    const apply = (change: CatalogueChange) =>
      changeCatalogue(repository, { clusterId, change, confirm: allowed }, context)
    await apply({ kind: 'publish', backup: backup('20260220-153000F') })
    await apply({ kind: 'publish-dump', dump: dump('20260220-160000L') })
    await apply({ kind: 'remove-dumps', labels: [parseBackupLabel('20260220-160000L')] })
    const records = await Promise.all(
      [1, 2, 3].map(async (number) => {
        const key = catalogKey(clusterId, number)
        const payload = await readObject(repository, { kind: 'catalogue-entry', key }, context)
        return RecordReader.decode(payload ?? assert.fail(), key)
      }),
    )

    assert.deepEqual(
      records.map((record) => [record.count('version'), record.has('dumps')]),
      [
        [1, false],
        [2, true],
        [1, false],
      ],
    )
  })

  test('decides anew when somebody else was faster', async () => {
    const repository = await testRepository(context)
    await changeCatalogue(repository, publish('20260220-153000F'), context)
    const label = parseBackupLabel('20260220-153000F')
    const seen: boolean[] = []
    let isFirst = true
    const confirm = async (): Promise<void> => {
      if (!isFirst) return
      isFirst = false
      await changeCatalogue(
        repository,
        { clusterId, change: { kind: 'pin', label }, confirm: allowed },
        context,
      )
    }
    const change = ({ backups }: { backups: readonly ListedBackup[] }): CatalogueChange => {
      seen.push(backups.some(({ isPinned }) => isPinned))
      return { kind: 'fence' }
    }
    await changeCatalogue(repository, { clusterId, change, confirm }, context)

    assert.deepEqual(seen, [false, true])
  })

  test('shows an exchanged entry to whoever reads them all', async () => {
    const repository = await testRepository(context)
    for (const day of [20, 21, 22])
      await changeCatalogue(repository, publish(`202602${day}-153000F`), context)
    const read = async (from: number): Promise<readonly number[]> => {
      const numbers: number[] = []
      for await (const { number } of readCatalogueEntries(repository, { clusterId, from }, context))
        numbers.push(number)
      return numbers
    }
    assert.deepEqual(await read(1), [1, 2, 3])

    const other = await testRepository(context)
    await changeCatalogue({ ...repository, store: other.store }, publish('20260220-153000F'), context)
    await changeCatalogue({ ...repository, store: other.store }, publish('20260219-153000F'), context)
    const exchanged = await other.store.get(catalogKey(clusterId, 2))
    assert.ok(exchanged !== undefined)
    await repository.store.delete([catalogKey(clusterId, 2)])
    await repository.store.putIfAbsent(catalogKey(clusterId, 2), exchanged)
    await assert.rejects(read(1), (error) => isOperationError(error, 'damaged'))
  })

  test('keeps every change of racing writers', async () => {
    const repository = await testRepository(context)
    const labels = Array.from({ length: 8 }, (_, index) => `2026022${index}-153000F`)
    await Promise.all(labels.map((label) => changeCatalogue(repository, publish(label), context)))

    const { backups } = await readCatalogue(repository, clusterId, context)
    assert.deepEqual(backups.map(({ label }) => label).toSorted(), labels)
  })

  test('finds the newest entry behind a listing that lags', async () => {
    const repository = await testRepository(context)
    await changeCatalogue(repository, publish('20260220-153000F'), context)
    await changeCatalogue(repository, publish('20260221-153000F'), context)
    const hidden = [catalogKey(clusterId, 2)]
    const store = new FaultyStore(repository.store, [{ kind: 'stale-list', hidden }])

    assert.equal((await readCatalogue({ ...repository, store }, clusterId, context)).number, 2)
  })

  test('writes nothing when the writer may not publish any more', async () => {
    const repository = await testRepository(context)
    const lost = new Error('lease lost')
    const request = { ...publish('20260220-153000F'), confirm: () => Promise.reject(lost) }

    await assert.rejects(changeCatalogue(repository, request, context), lost)
    assert.equal((await readCatalogue(repository, clusterId, context)).number, 0)
  })

  test('never falls back to an older entry when the newest is damaged or another one', async () => {
    const repository = await testRepository(context)
    await changeCatalogue(repository, publish('20260220-153000F'), context)
    await changeCatalogue(repository, publish('20260221-153000F'), context)
    const newest = catalogKey(clusterId, 2)
    const faults = [
      { kind: 'flip-bit', bitIndex: 500, at: { operation: 'get', subject: newest } },
      { kind: 'short-read', keepBytes: 40, at: { operation: 'get', subject: newest } },
      { kind: 'wrong-object', key: catalogKey(clusterId, 1), at: { operation: 'get', subject: newest } },
    ] as const
    for (const fault of faults) {
      const store = new FaultyStore(repository.store, [fault])
      await assert.rejects(readCatalogue({ ...repository, store }, clusterId, context), (error) =>
        isOperationError(error, 'damaged'),
      )
    }
  })

  test('of a later version is refused as such', async () => {
    const repository = await testRepository(context)
    const key = catalogKey(clusterId, 1)
    const payload = encodeRecord({ version: 3, number: 1, previous: '', backups: [], dumps: [] })
    await writeObject(repository, { name: { kind: 'catalogue-entry', key }, payload }, context)

    await assert.rejects(readCatalogue(repository, clusterId, context), (error) =>
      isOperationError(error, 'format-newer'),
    )
  })

  test('is not confused by objects beside its entries that are none', async () => {
    const repository = await testRepository(context)
    await changeCatalogue(repository, publish('20260220-153000F'), context)
    for (const name of ['0000000001.orig', '00000000020', 'copy', 'older/0000000007'])
      await repository.store.putIfAbsent(`${clusterId}/catalog/${name}`, Buffer.from('not ours'))

    assert.equal((await readCatalogue(repository, clusterId, context)).number, 1)
    assert.equal((await changeCatalogue(repository, publish('20260221-153000F'), context)).number, 2)
  })
})

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { storeSyntheticBackup } from '../../test/corruption/synthetic-backup.ts'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
} from '../../test/support/archive-fixture.ts'
import { archiveContent, contentsOf } from '../../test/support/archived-content.ts'
import {
  archivedSegments,
  backupOf,
  createSource,
  decide,
  flipByte,
  listed,
  memoryStore,
  newerBackup,
  olderBackup,
  transfer,
} from '../../test/support/transfer-site.ts'
import { unpackBackup } from '../../test/support/unpack-backup.ts'
import { walIndexKey } from '../archive/wal-index-key.ts'
import { walObjectKey } from '../archive/wal-object-key.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { sealSingle } from '../codec/sealed-object.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { toLsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { acquireLease } from '../repository/lease.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { nameListKey } from '../repository/name-list-key.ts'
import { catalogKey, manifestKey, packKey } from '../repository/object-keys.ts'
import { holdRestoreLease } from '../restore/hold-restore-lease.ts'
import type { TransferResult } from './run-transfer.ts'

const label = parseBackupLabel(olderBackup)
const newer = parseBackupLabel(newerBackup)
const [segment = '', , third = ''] = archivedSegments
const ownPack = { label, number: 1 }

describe('runTransfer', () => {
  test('does not begin while a sweep may be deleting what it would use', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    const request = {
      clusterId: to.cluster.id,
      scope: 'sweep',
      purpose: 'sweep',
      holder: readProcessIdentity(),
    }
    await using _ = await acquireLease(to.repository, request, recordingContext())

    await assert.rejects(transfer(from, to), { code: 'busy', message: /"sweep" runs/ })
    assert.deepEqual(await listed(to), [])
  })

  test('writes nothing for a backup that is not there', async () => {
    const store = memoryStore()
    const [from, to] = [await createSource(), await createPlace({ store })]
    store.calls.splice(0)

    const wanted = [parseBackupLabel('20990101-000000F')]
    await assert.rejects(transfer(from, to, { wanted }), { code: 'not-found' })

    assert.ok(!store.calls.some(({ operation }) => operation === 'putIfAbsent'))
  })

  test('looks at no pack again that both have by their manifests', async () => {
    const stores = [memoryStore(), memoryStore()] as const
    const [from, to] = [await createSource({ store: stores[0] }), await createPlace({ store: stores[1] })]
    await transfer(from, to, { wanted: [label] })
    const { packs } = await headOf(from, olderBackup)
    const next = '20260221-153000I'
    await storeSyntheticBackup(from, { ...backupOf(next, 5), files: [], entries: [], head: { packs } })
    for (const { calls } of stores) calls.splice(0)

    const { copied } = await transfer(from, to, { wanted: [parseBackupLabel(next)] })

    assert.equal(copied.length, 1)
    for (const { calls } of stores) assert.ok(!calls.some(({ subject }) => subject.includes('/data/')))
  })

  for (const at of [8, 12]) {
    test(`goes on without an object whose header is overwritten at byte ${at}`, async () => {
      const [from, to] = [await createSource(), await createPlace()]
      await flipAt(from, await walKey(from, third), at)
      await flipAt(from, packKey(from.cluster.id, ownPack), at)

      const result = await transfer(from, to)

      assert.deepEqual(labelsOf(result), [newerBackup])
      assert.deepEqual(subjectsOf(result), [olderBackup, third])
    })
  }

  test('goes on without a pack that the medium cannot read', async () => {
    const store = memoryStore()
    const [from, to] = [await createSource({ store }), await createPlace()]
    const cause = Object.assign(new Error('EIO'), { code: 'EIO' })
    const error = new OperationError('store-failed', 'reading', { cause })
    const subject = packKey(from.cluster.id, ownPack)
    store.plan({ kind: 'fail', when: 'before', at: { operation: 'get', subject }, error })

    assert.deepEqual(labelsOf(await transfer(from, to)), [newerBackup])
  })

  test('goes on without a list of names that is damaged', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    const key = nameListKey(from.cluster.id, { timeline: toTimelineId(1), lsn: toLsn(0x300100n) })
    const identity = { keys: from.repository.keys.sealing, kind: 'name-list', key } as const
    await from.repository.store.putIfAbsent(key, sealSingle(Buffer.from([2]), identity))
    await flipAt(from, key, 40)

    const result = await transfer(from, to)

    assert.deepEqual([labelsOf(result).length, subjectsOf(result)], [2, [key]])
  })

  test('lists no backup whose own WAL is another, or several, in the repository that is copied to', async () => {
    for (const side of ['to', 'from'] as const) {
      const places = { from: await createSource(), to: await createPlace() }
      await archiveContent(places[side], segment, buildSegment(segment, { fill: 9 }))

      const result = await transfer(places.from, places.to)

      assert.deepEqual([labelsOf(result), subjectsOf(result)], [[newerBackup], [olderBackup]])
    }
  })

  test('uses no pack of another backup with the same label, though it looks alike', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    await storeSyntheticBackup(to, lookalike(3))
    await decide(to, { kind: 'remove', labels: [label], ownWal: [] })

    const result = await transfer(from, to, { wanted: [label] })

    assert.deepEqual(
      [labelsOf(result), result.failures.map(({ error }) => error.code)],
      [[], ['repositories-differ']],
    )
  })

  test('passes over an entry of the other catalogue that is damaged, if it is not the newest', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    await transfer(from, to)
    await flipByte(to, catalogKey(to.cluster.id, 1))

    assert.deepEqual((await transfer(from, to)).failures, [])
  })

  test('copies an older backup the next time that failed the first time, whatever was copied since', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    const key = packKey(from.cluster.id, ownPack)
    await flipByte(from, key)
    await transfer(from, to)
    await flipByte(from, key)

    assert.deepEqual(labelsOf(await transfer(from, to)), [olderBackup])
  })
})

describe('runTransfer, repairing,', () => {
  test('makes an index anew when nothing else is damaged', async () => {
    const { from, to } = await createTwo()
    const [digest = ''] = await contentsOf(to, segment)
    const key = walIndexKey(to.cluster.id, { name: parseArchiveFileName(segment), digest })
    await flipByte(to, key)

    const { repaired } = await transfer(from, to, { damaged: [key] })

    assert.equal(repaired.walFiles, 1)
    assert.notEqual(await to.repository.store.head(key), undefined)
  })

  test('takes no pack of another backup with the same label', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    await archiveContent(to, archivedSegments[1] ?? '', buildSegment(archivedSegments[1] ?? ''))
    await storeSyntheticBackup(to, lookalike(4))
    const key = packKey(to.cluster.id, ownPack)
    await flipByte(to, key)

    const result = await transfer(from, to, { damaged: [key] })

    assert.deepEqual([result.repaired.packs, result.twins], [0, [olderBackup]])
    await flipByte(to, key)
    await using folder = await temporaryFolder()
    const other = (await listed(to)).find((backup) => backup.label === label) ?? assert.fail()
    await unpackBackup(to, other, folder.path)
    assert.match(await readFile(`${folder.path}/own`, 'utf8'), /^of ANOTHER/)
  })

  test('takes no other content of a segment', async () => {
    const { from, to } = await createTwo()
    await from.repository.store.delete([await walKey(from, segment)])
    await archiveContent(from, segment, buildSegment(segment, { fill: 9 }))
    const key = await walKey(to, segment)
    await flipByte(to, key)

    const result = await transfer(from, to, { damaged: [key] })

    assert.deepEqual([result.repaired.walFiles, subjectsOf(result).includes(segment)], [0, true])
    assert.notEqual(await to.repository.store.head(key), undefined)
  })

  test('deletes nothing that is good by now, of which verify does not know yet', async () => {
    const store = memoryStore()
    const [from, to] = [await createSource(), await createPlace({ store })]
    await transfer(from, to)
    const keys = [packKey(to.cluster.id, ownPack), await walKey(to, segment)]
    store.calls.splice(0)

    const { repaired } = await transfer(from, to, { damaged: keys })

    assert.deepEqual(repaired, { packs: 0, walFiles: 0, backups: [], dumps: [] })
    const deleted = store.calls.filter(({ operation }) => operation === 'delete')
    assert.ok(deleted.every(({ subject }) => subject === '' || subject.includes('/lease/')))
  })

  test('leaves a repository alone that a restore reads', async () => {
    const { from, to } = await createTwo()
    const key = packKey(to.cluster.id, ownPack)
    await flipByte(to, key)
    await using _ = await holdRestoreLease(to, recordingContext())

    await assert.rejects(transfer(from, to, { damaged: [key] }), {
      code: 'busy',
      message: /restore of cluster/,
    })
  })

  test('repairs what it can when a manifest, or the head of another pack, is damaged where it copies from', async () => {
    const { from, to } = await createTwo()
    const damaged = [packKey(to.cluster.id, ownPack), packKey(to.cluster.id, { label: newer, number: 1 })]
    for (const key of damaged) await flipByte(to, key)
    await flipAt(from, packKey(from.cluster.id, { label: newer, number: 1 }), 8)

    const first = await transfer(from, to, { damaged })
    await flipByte(from, manifestKey(from.cluster.id, { label: newer, revision: 1 }))
    const second = await transfer(from, to, { damaged })

    assert.deepEqual([first.repaired.packs, first.repaired.backups], [1, [olderBackup]])
    assert.equal(second.repaired.packs, 0)
  })
})

async function createTwo(): Promise<{ readonly from: ArchivePlace; readonly to: ArchivePlace }> {
  const [from, to] = [await createSource(), await createPlace()]
  await transfer(from, to)
  return { from, to }
}

/** As long in every part as the older backup, and other in one. */
function lookalike(atSegment: number): ReturnType<typeof backupOf> {
  const backup = backupOf(olderBackup, atSegment)
  const files = backup.files.map((file) =>
    file.path === 'own'
      ? { ...file, content: Buffer.from('of ANOTHER'.padEnd(file.content.length, '!')) }
      : file,
  )
  return { ...backup, files }
}

async function headOf(place: ArchivePlace, wanted: string): Promise<ManifestHead> {
  const backup = (await listed(place)).find((candidate) => candidate.label === wanted) ?? assert.fail()
  return readManifestHead(place.repository, { clusterId: place.cluster.id, ...backup }, recordingContext())
}

async function walKey(place: ArchivePlace, name: string): Promise<string> {
  const [digest = ''] = await contentsOf(place, name)
  return walObjectKey(place.cluster.id, { name: parseArchiveFileName(name), digest, part: 0 })
}

async function flipAt({ repository }: ArchivePlace, key: string, at: number): Promise<void> {
  const bytes = (await repository.store.get(key)) ?? assert.fail()
  bytes[at] = (bytes[at] ?? 0) ^ 2
  await repository.store.delete([key])
  await repository.store.putIfAbsent(key, bytes)
}

const labelsOf = ({ copied }: TransferResult): readonly string[] => copied.map(({ label: name }) => name)
const subjectsOf = ({ failures }: TransferResult): readonly string[] => failures.map(({ subject }) => subject)

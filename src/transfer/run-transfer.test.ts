import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { leastFiles, storeSyntheticBackup } from '../../test/corruption/synthetic-backup.ts'
import { createPlace, recordingContext } from '../../test/support/archive-fixture.ts'
import {
  archivedSegments,
  assertSame,
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
import type { ArchivePlace } from '../archive/archive-place.ts'
import { createPageKernel } from '../codec/page-kernel.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { packKey } from '../repository/object-keys.ts'
import { readPackIndex } from '../repository/read-pack-index.ts'

describe('runTransfer', () => {
  test('makes backups and their WAL the same in a repository of other keys, or of none', async () => {
    for (const [isSealed, isTargetSealed] of [
      [true, true],
      [true, false],
      [false, true],
    ] as const) {
      const from = await createSource({ isSealed })
      const to = await createPlace({ isSealed: isTargetSealed })

      const result = await transfer(from, to)

      assert.deepEqual(
        result.copied.map(({ label }) => label),
        [olderBackup, newerBackup],
      )
      assert.deepEqual([result.wal.count, result.failures], [archivedSegments.length, []])
      await assertSame(from, to)
      await assertHashes(to)
    }
  })

  test('copies nothing twice', async () => {
    const store = memoryStore()
    const [from, to] = [await createSource(), await createPlace({ store })]
    await transfer(from, to)
    store.calls.splice(0)

    const again = await transfer(from, to)

    assert.deepEqual([again.copied, again.wal.count, again.nameLists], [[], 0, 0])
    const written = store.calls.filter(
      ({ operation, subject }) => operation === 'putIfAbsent' && !subject.includes('/lease/'),
    )
    assert.deepEqual(written, [])
  })

  test('says with isDryRun what it would copy, and writes to neither', async () => {
    const [here, there] = [memoryStore(), memoryStore()]
    const [from, to] = [await createSource({ store: here }), await createPlace({ store: there })]
    const stores = [here, there]
    for (const { calls } of stores) calls.splice(0)

    const { copied, wal } = await transfer(from, to, { isDryRun: true })

    assert.deepEqual(
      [copied.map(({ label }) => label), wal.count],
      [[olderBackup, newerBackup], archivedSegments.length],
    )
    assert.ok(
      stores.every(({ calls }) =>
        calls.every(({ operation }) => operation !== 'putIfAbsent' && operation !== 'delete'),
      ),
    )
  })

  test('keeps what was decided about a backup, and its WAL only as far as it is kept', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    const label = parseBackupLabel(olderBackup)
    await decide(from, { kind: 'remove', labels: [parseBackupLabel(newerBackup)], ownWal: [label] })
    await decide(from, { kind: 'pin', label })

    const { wal } = await transfer(from, to)

    const [copied] = await listed(to)
    assert.deepEqual([copied?.label, copied?.isPinned, copied?.walRetention], [olderBackup, true, 'own'])
    assert.equal(wal.count, 1)
  })

  test('goes on without what is damaged, and tells of it', async () => {
    const from = await createSource()
    await flipByte(from, packKey(from.cluster.id, { label: parseBackupLabel(olderBackup), number: 1 }))
    const to = await createPlace()

    const { copied, failures } = await transfer(from, to)

    assert.deepEqual(
      [copied.map(({ label }) => label), failures.map(({ subject, error }) => [subject, error.code])],
      [[newerBackup], [[olderBackup, 'damaged']]],
    )
    assert.equal((await listed(to)).length, 1)
  })

  test('lists no backup whose WAL is lost in both', async () => {
    const [from, to] = [await createSource({ without: archivedSegments[0] }), await createPlace()]

    const { copied, failures } = await transfer(from, to)

    assert.deepEqual(
      [copied.map(({ label }) => label), failures.map(({ error }) => error.code)],
      [[newerBackup], ['wal-missing']],
    )
  })

  test('builds on no pack of another backup with the same label', async () => {
    const [from, to] = [await createSource(), await createPlace()]
    const label = parseBackupLabel(olderBackup)
    await storeSyntheticBackup(to, { ...backupOf(olderBackup, 3), files: leastFiles('1').files })
    await decide(to, { kind: 'remove', labels: [label], ownWal: [] })

    const { copied, failures } = await transfer(from, to, { wanted: [label] })

    assert.deepEqual(
      [copied, failures.map(({ subject, error }) => [subject, error.code])],
      [[], [[olderBackup, 'repositories-differ']]],
    )
  })

  test('refuses another cluster of the same name', async () => {
    const from = await createSource()
    const to = await createPlace({ segmentMiB: 2 })

    await assert.rejects(transfer(from, to), { code: 'cluster-mismatch' })
  })
})

/** The block hashes are those of the repository itself: an incremental backup compares with them. */
async function assertHashes({ repository, cluster }: ArchivePlace): Promise<void> {
  const [backup] = await listed({ repository, cluster })
  assert.ok(backup)
  const head = await readManifestHead(repository, { clusterId: cluster.id, ...backup }, recordingContext())
  const [reference] = head.packs
  assert.ok(reference)
  const units = await readPackIndex(repository, { clusterId: cluster.id, reference }, recordingContext())
  const kernel = createPageKernel({ seed: repository.keys.blockHashSeed })
  const content = Buffer.from('16\n')
  kernel.input.set(content)
  const hashes = new BigUint64Array(1)
  kernel.hashBlocks({ offset: 0, length: content.length }, hashes)
  const piece = units.flatMap(({ pieces }) => pieces).find(({ path }) => Buffer.from(path).equals(version))
  assert.deepEqual(piece?.blockHashes, hashes)
}

const version = Buffer.from('PG_VERSION')

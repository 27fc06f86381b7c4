import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { contentsOf } from '../../test/support/archived-content.ts'
import {
  archivedSegments,
  assertSame,
  createSource,
  decide,
  flipByte,
  listed,
  newerBackup,
  olderBackup,
  transfer,
} from '../../test/support/transfer-site.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { walIndexKey } from '../archive/wal-index-key.ts'
import { walObjectKey } from '../archive/wal-object-key.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { manifestKey, manifestPartKey, packKey } from '../repository/object-keys.ts'

const label = parseBackupLabel(olderBackup)
const [segment = ''] = archivedSegments

describe('runTransfer, of what is damaged,', () => {
  test('replaces packs and gives the backups that mean them another manifest', async () => {
    for (const harm of [flipByte, remove]) {
      const { from, to } = await createTwo()
      const key = packKey(to.cluster.id, { label, number: 1 })
      await harm(to, key)

      const { repaired, failures } = await transfer(from, to, { damaged: [key] })

      assert.deepEqual(
        [repaired, failures],
        [{ packs: 1, walFiles: 0, backups: [olderBackup], dumps: [] }, []],
      )
      await assertSame(from, to)
      assert.deepEqual(
        (await listed(to)).map(({ label: name, revision }) => [name, revision]),
        [
          [olderBackup, 2],
          [newerBackup, 1],
        ],
      )
    }
  })

  test('takes manifests of the other repository, and keeps what was decided about the backup', async () => {
    for (const keyOf of [
      manifestKey,
      (id: string, name: Parameters<typeof manifestKey>[1]) => manifestPartKey(id, name, 1),
    ]) {
      const { from, to } = await createTwo()
      const pin = { kind: 'pin', label } as const
      await decide(to, pin)
      const key = keyOf(to.cluster.id, { label, revision: 1 })
      await flipByte(to, key)

      const { repaired, failures } = await transfer(from, to, { damaged: [key] })

      assert.deepEqual([repaired.backups, failures], [[olderBackup], []])
      await assertSame(from, to)
      assert.equal((await listed(to))[0]?.isPinned, true)
    }
  })

  test('replaces archived files and their indexes', async () => {
    const { from, to } = await createTwo()
    const [digest = ''] = await contentsOf(to, segment)
    const name = parseArchiveFileName(segment)
    const keys = [
      walObjectKey(to.cluster.id, { name, digest, part: 0 }),
      walIndexKey(to.cluster.id, { name, digest }),
    ]
    for (const key of keys) await flipByte(to, key)

    const { repaired, failures } = await transfer(from, to, { damaged: keys })

    assert.deepEqual([repaired.walFiles, failures], [2, []])
    await assertSame(from, to)
    const again = await transfer(from, to)
    assert.equal(again.wal.count, 0)
  })

  test('leaves alone what is damaged in both, and says so', async () => {
    const { from, to } = await createTwo()
    const pack = { label, number: 1 }
    const keys = [packKey(to.cluster.id, pack), packKey(to.cluster.id, { label, number: 7 })]
    await flipByte(to, keys[0] ?? '')
    const before = await to.repository.store.get(keys[0] ?? '')
    await flipByte(from, packKey(from.cluster.id, pack))

    const { repaired, failures } = await transfer(from, to, { damaged: keys })

    assert.deepEqual(repaired, { packs: 0, walFiles: 0, backups: [], dumps: [] })
    assert.deepEqual(
      failures.map(({ subject, error }) => [subject, error.code]),
      [
        [keys[0], 'damaged'],
        [keys[1], 'not-found'],
      ],
    )
    assert.deepEqual(await to.repository.store.get(keys[0] ?? ''), before)
  })
})

async function createTwo(): Promise<{ readonly from: ArchivePlace; readonly to: ArchivePlace }> {
  const [from, to] = [await createSource(), await createPlace()]
  await transfer(from, to)
  return { from, to }
}

async function remove({ repository }: ArchivePlace, key: string): Promise<void> {
  await repository.store.delete([key])
}

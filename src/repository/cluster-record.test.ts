import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { keyedDigest } from '../codec/keyed-digest.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { parseSystemIdentifier } from '../domain/system-identifier.ts'
import { toWalSegmentSize } from '../domain/wal-segment.ts'
import {
  flipBit,
  isReadingError,
  replaceObject,
  withoutSealing,
} from '../../test/support/repository-samples.ts'
import { testCluster, testClusterRecord, testContext, testRepository } from '../../test/support/repository.ts'
import { ensureCluster, findCluster, listClusters, requireCluster } from './cluster-record.ts'
import { clusterRecordKey } from './object-keys.ts'
import type { Repository } from './open-repository.ts'
import { encodeRecord } from './record.ts'
import { writeObject } from './sealed-store.ts'

const context = testContext()
const contentId = 'ab'.repeat(8)
const otherCluster = { ...testCluster, name: 'other' }

async function bytesAt({ store }: Repository, key: string): Promise<Uint8Array> {
  return (await store.get(key)) ?? assert.fail()
}

/** Stores `record` as a revision of the cluster `id`, properly sealed. */
async function writeRevision(
  repository: Repository,
  { id, revision, record }: { id: string; revision: number; record: object },
): Promise<void> {
  const name = { kind: 'cluster', key: clusterRecordKey(id, revision) } as const
  assert.equal(await writeObject(repository, { name, payload: encodeRecord(record) }, context), 'created')
}

for (const method of ['aes-256-gcm', 'none'] as const) {
  const open = (): Promise<Repository> =>
    testRepository(context, method === 'none' ? { unlocker: undefined } : {})

  describe(`the cluster records of a repository with sealing method ${method}`, () => {
    test('read back as they were written, oldest first', async () => {
      const repository = await open()
      const first = await ensureCluster(repository, testCluster, context)
      const second = await ensureCluster(
        repository,
        otherCluster,
        testContext({ clock: { ...context.clock, now: () => first.createdAtMs + 1 } }),
      )

      assert.deepEqual(await listClusters(repository, context), [first, second])
      assert.deepEqual(await findCluster(repository, 'other', context), second)
      assert.match(first.id, /^[0-9a-f]{16}$/)
      assert.match(first.lineage, /^[0-9a-f]{32}$/)
    })

    test('cannot be read when any bit is flipped or the end is cut (X1)', async () => {
      const repository = await open()
      const { id } = await testClusterRecord(repository, context)
      const key = clusterRecordKey(id, 1)
      const bytes = await bytesAt(repository, key)
      const changes = [
        ...Array.from({ length: bytes.length * 8 }, (_, bit) => flipBit(bytes, bit)),
        ...Array.from({ length: bytes.length }, (_, length) => bytes.slice(0, length)),
      ]

      for (const changed of changes) {
        await replaceObject(repository, key, changed)
        await assert.rejects(listClusters(repository, context), isReadingError)
      }
    })

    test('cannot stand in for each other', async () => {
      const repository = await open()
      const first = await ensureCluster(repository, testCluster, context)
      const second = await ensureCluster(repository, otherCluster, context)
      const foreign = await bytesAt(repository, clusterRecordKey(second.id, 1))
      await replaceObject(repository, clusterRecordKey(first.id, 1), foreign)

      await assert.rejects(listClusters(repository, context), { code: 'damaged' })
    })

    test('are damaged when one says that it is the record of another cluster', async () => {
      const repository = await open()
      const record = await testClusterRecord(repository, context)
      await writeRevision(repository, { id: 'f'.repeat(16), revision: 1, record })

      await assert.rejects(listClusters(repository, context), {
        code: 'damaged',
        message: /says that it is the record of another cluster/,
      })
    })
  })
}

describe('a cluster record', () => {
  test('is created once for a name', async () => {
    const repository = await testRepository(context)
    const created = await testClusterRecord(repository, context)

    assert.deepEqual(await testClusterRecord(repository, context), created)
    assert.equal((await listClusters(repository, context)).length, 1)
  })

  test('is created once by many that try at once, for all of them', async () => {
    const repository = await testRepository(context)
    const created = await Promise.all(
      Array.from({ length: 8 }, () => ensureCluster(repository, testCluster, context)),
    )

    const [record] = await listClusters(repository, context)
    assert.equal((await listClusters(repository, context)).length, 1)
    for (const one of created) assert.deepEqual(one, record)
  })

  test('refuses the loser of a race that has another system', async () => {
    const repository = await testRepository(context)
    const systemIdentifier = parseSystemIdentifier('7400000000000000002')
    const results = await Promise.allSettled([
      ensureCluster(repository, testCluster, context),
      ensureCluster(repository, { ...testCluster, systemIdentifier }, context),
    ])

    assert.equal((await listClusters(repository, context)).length, 1)
    const [failure, ...others] = results.filter((result) => result.status === 'rejected')
    assert.equal(others.length, 0)
    assert.ok(isOperationError(failure?.reason, 'cluster-mismatch'))
  })

  test('has an id that follows from its name and the repository, and tells nobody else', async () => {
    const [one, other] = [await testRepository(context), await testRepository(context)]
    const { id } = await testClusterRecord(one, context)

    assert.equal(id, keyedDigest(one.keys.namesKey, Buffer.from('cluster main')).slice(0, 16))
    assert.notEqual((await testClusterRecord(other, context)).id, id)
    assert.notEqual((await ensureCluster(one, otherCluster, context)).id, id)
  })

  test('counts in its highest revision', async () => {
    const repository = await testRepository(context)
    const record = await testClusterRecord(repository, context)
    const revised = { ...record, name: 'renamed' }
    await writeRevision(repository, { id: record.id, revision: 2, record: revised })

    assert.deepEqual(await listClusters(repository, context), [revised])
    assert.equal(await findCluster(repository, 'main', context), undefined)
  })

  test('counts in its highest revision also when that has more digits', async () => {
    const repository = await testRepository(context)
    const record = await testClusterRecord(repository, context)
    for (const revision of [9999, 10_000])
      await writeRevision(repository, {
        id: record.id,
        revision,
        record: { ...record, name: `r${revision}` },
      })

    assert.deepEqual(
      (await listClusters(repository, context)).map(({ name }) => name),
      ['r10000'],
    )
  })

  test('is not confused by objects beside it that are none', async () => {
    const repository = await testRepository(context)
    const record = await testClusterRecord(repository, context)
    for (const key of [
      'notes',
      `${record.id}/0001.orig`,
      `${record.id}/2`,
      'x/0001',
      `${'f'.repeat(16)}/0001/a`,
    ])
      await repository.store.putIfAbsent(`clusters/${key}`, Buffer.from('not ours'))

    assert.deepEqual(await listClusters(repository, context), [record])
  })

  test('refuses another system, major version or segment size under its name', async () => {
    const repository = await testRepository(context)
    await testClusterRecord(repository, context)

    for (const difference of [
      { systemIdentifier: parseSystemIdentifier('7400000000000000002') },
      { major: 17 },
      { walSegmentSize: toWalSegmentSize(64 * 1024 * 1024) },
    ]) {
      await assert.rejects(ensureCluster(repository, { ...testCluster, ...difference }, context), {
        code: 'cluster-mismatch',
      })
    }
  })

  test('that is asked for and unknown is an error that names the known ones', async () => {
    const repository = await testRepository(context)
    await testClusterRecord(repository, context)

    await assert.rejects(requireCluster(repository, 'mian', context), {
      code: 'cluster-unknown',
      message: /the repository knows "main"/,
    })
  })

  test('without sealing is refused in a sealed repository, and the other way round (4.3)', async () => {
    for (const method of ['aes-256-gcm', 'none'] as const) {
      const sealed = await testRepository(context)
      const plain = withoutSealing(sealed)
      const [writing, reading] = method === 'none' ? [plain, sealed] : [sealed, plain]
      await testClusterRecord(writing, context)

      assert.equal((await listClusters(writing, context)).length, 1)
      await assert.rejects(listClusters(reading, context), { code: 'damaged' })
    }
  })

  test('with any content is read or damaged', async () => {
    const record = {
      id: contentId,
      name: 'main',
      systemIdentifier: '1',
      lineage: '',
      major: 1,
      createdAtMs: 1,
    }
    const anyRecord = fc.oneof(
      fc.dictionary(
        fc.constantFrom('id', 'name', 'systemIdentifier', 'walSegmentSize', 'major'),
        fc.jsonValue(),
      ),
      fc.jsonValue().map((walSegmentSize) => Object.assign({ walSegmentSize }, record)),
      fc.string().map((systemIdentifier) => Object.assign({}, record, { systemIdentifier })),
    )
    await fc.assert(
      fc.asyncProperty(anyRecord, async (content) => {
        const repository = await testRepository(context, { unlocker: undefined })
        await writeRevision(repository, { id: contentId, revision: 1, record: content })

        await listClusters(repository, context).catch((error: unknown) => {
          assert.ok(isReadingError(error), String(error))
        })
      }),
    )
  })
})

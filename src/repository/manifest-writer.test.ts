import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import {
  anyEntry,
  bytesOf,
  collect,
  comparable,
  inOrder,
  sampleClusterId,
  sampleFile,
  sampleHead,
  sampleLabel,
} from '../../test/support/repository-samples.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import { readManifest, storeManifest } from '../../test/support/sample-backup.ts'
import type { Extent, ManifestEntry } from './manifest-entry.ts'
import { readManifestEntries, readManifestHead } from './manifest-reader.ts'
import { ManifestWriter } from './manifest-writer.ts'
import type { Repository } from './open-repository.ts'

const context = testContext()
const name = { clusterId: sampleClusterId, label: sampleLabel, revision: 1 }

const bulkyPathBytes = 3000

const from = (pack: number, length: number): Extent => ({
  length,
  source: { kind: 'unit', pack, unit: 0, offset: 0 },
})

/** Files with long, incompressible paths, so that few of them fill frames and parts. */
function bulkyFiles(count: number): readonly ManifestEntry[] {
  const zeros = Buffer.alloc(count * bulkyPathBytes)
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(zeros)
  const pathOf = (index: number): Uint8Array =>
    noise.subarray(index * bulkyPathBytes).subarray(0, bulkyPathBytes)
  return inOrder(Array.from({ length: count }, (_, index) => sampleFile('', { path: pathOf(index) })))
}

async function keysBelow({ store }: Repository, prefix: string): Promise<readonly string[]> {
  return (await collect(store.list(prefix))).map(({ key }) => key)
}

describe('ManifestWriter', () => {
  for (const method of ['aes-256-gcm', 'none'] as const) {
    const access = method === 'none' ? { unlocker: undefined } : {}

    test(`stores entries that read back as they were (${method})`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(anyEntry, { maxLength: 30 }), async (entries) => {
          const repository = await testRepository(context, access)
          const ordered = inOrder(entries)
          const stored = await storeManifest(repository, ordered, context)

          assert.deepEqual(comparable(await readManifest(repository, stored, context)), comparable(ordered))
        }),
        { numRuns: 50 },
      )
    })
  }

  test('stores thousands of entries over many frames and several parts', async () => {
    const repository = await testRepository(context)
    const entries = bulkyFiles(8000)
    const stored = await storeManifest(repository, entries, context)

    assert.deepEqual(await keysBelow(repository, `${sampleClusterId}/backup/`), [
      `${sampleClusterId}/backup/${sampleLabel}/0001/manifest`,
      `${sampleClusterId}/backup/${sampleLabel}/0001/part-0001`,
      `${sampleClusterId}/backup/${sampleLabel}/0001/part-0002`,
    ])
    const read = await readManifest(repository, stored, context)
    assert.equal(read.length, entries.length)
    for (const [index, entry] of read.entries()) {
      assert.ok(Buffer.from(entry.path).equals(entries[index]?.path ?? assert.fail()))
    }
  })

  test('says how much it stored', async () => {
    const repository = await testRepository(context)
    const { storedBytes } = await storeManifest(repository, [sampleFile('a'), sampleFile('b')], context)

    const objects = await collect(repository.store.list(`${sampleClusterId}/`))
    assert.equal(
      storedBytes,
      objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    )
  })

  test('stores a backup without entries as a head alone', async () => {
    const repository = await testRepository(context)
    const stored = await storeManifest(repository, [], context)

    assert.deepEqual(await readManifest(repository, stored, context), [])
    assert.equal((await keysBelow(repository, `${sampleClusterId}/`)).length, 1)
  })

  test('stores the head last: a writer that dies before leaves no manifest', async () => {
    for (const call of [1, 2]) {
      const repository = await testRepository(context)
      const at = { operation: 'putIfAbsent', call } as const
      const store = new FaultyStore(repository.store, [
        { kind: 'fail', at, when: 'before', error: new Error('killed') },
      ])
      await assert.rejects(storeManifest({ ...repository, store }, [sampleFile('a')], context), /killed/)

      const keys = await keysBelow(repository, `${sampleClusterId}/`)
      assert.deepEqual(keys, call === 1 ? [] : [`${sampleClusterId}/backup/${sampleLabel}/0001/part-0001`])
    }
  })

  test('does not write over the manifest or the parts of another backup', async () => {
    const repository = await testRepository(context)
    const stored = await storeManifest(repository, [sampleFile('a')], context)

    await assert.rejects(storeManifest(repository, [sampleFile('b')], context), { code: 'busy' })
    await assert.rejects(storeManifest(repository, [], context), { code: 'busy' })
    assert.equal((await readManifest(repository, stored, context)).length, 1)
  })

  test('takes entries that are out of order or come twice for a bug', async () => {
    const repository = await testRepository(context)
    for (const [first, second] of [
      [sampleFile('b'), sampleFile('a')],
      [sampleFile('a'), sampleFile('a')],
      [sampleFile('a', { root: 5 }), sampleFile('b')],
      [sampleFile('\u{ff}'), sampleFile('z')],
    ] as const) {
      const writer = new ManifestWriter(repository, name, context)
      await writer.add(first)
      await assert.rejects(writer.add(second), { name: 'AssertionError' })
    }
  })

  test('orders by bytes, not by characters or numbers', async () => {
    const repository = await testRepository(context)
    const paths = [
      bytesOf(''),
      bytesOf('1'),
      bytesOf('10'),
      bytesOf('2'),
      Uint8Array.of(0x7a, 0xff),
      Uint8Array.of(0xc3),
    ]
    const entries = paths.map((path) => sampleFile('', { path }))
    const stored = await storeManifest(repository, entries, context)

    assert.deepEqual(comparable(await readManifest(repository, stored, context)), comparable(entries))
  })

  test('counts of each pack the raw bytes that the entries refer to, over all frames', async () => {
    const filler = bulkyFiles(1000)
    const repository = await testRepository(context)
    const stored = await storeManifest(
      repository,
      inOrder([
        { kind: 'directory', root: 0, path: bytesOf(''), owner: 0, mode: 0o700 },
        ...filler,
        sampleFile('a', { root: 7, sizeBytes: 0 }),
        sampleFile('b', { root: 7, sizeBytes: 111, extents: [from(3, 100), from(1, 10), from(3, 1)] }),
        sampleFile('c', {
          root: 7,
          sizeBytes: 2 ** 40 + 5,
          extents: [{ length: 2 ** 40, source: { kind: 'zeros' } }, from(1, 5)],
        }),
      ]),
      context,
    )

    const { packs } = await readManifestHead(repository, stored, context)
    assert.deepEqual(
      packs.map(({ liveBytes }) => liveBytes),
      [filler.length * 8192, 15, 0, 101, 0],
    )
  })

  test('keeps the head as it was given', async () => {
    const repository = await testRepository(context)
    const stored = await storeManifest(repository, [sampleFile('a')], context)
    const { parts, ...head } = await readManifestHead(repository, stored, context)

    const packs = sampleHead().packs.map((pack, index) =>
      Object.assign(pack, { liveBytes: index === 0 ? 8192 : 0 }),
    )
    assert.deepEqual(comparable(head), comparable(sampleHead({ packs })))
    assert.equal(parts.length, 1)
    const clusterId = sampleClusterId
    const entries = readManifestEntries(repository, { clusterId, head: { ...head, parts } }, context)
    assert.equal((await collect(entries)).length, 1)
  })
})

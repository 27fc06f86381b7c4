import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { packPayload } from '../codec/compression.ts'
import { keyedDigest } from '../codec/keyed-digest.ts'
import { createObjectSealer, sealSingle } from '../codec/sealed-object.ts'
import {
  collect,
  flipBit,
  isReadingError,
  olderLabel,
  replaceObject,
  sampleClusterId,
  sampleFile,
  sampleHead,
  sampleLabel,
  samplePackCount,
  withoutSealing,
} from '../../test/support/repository-samples.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import { readManifest, storeManifest } from '../../test/support/sample-backup.ts'
import { encodeEntry, newEntryContext, type ManifestEntry } from './manifest-entry.ts'
import { encodeManifestHead, type ManifestHead } from './manifest-head.ts'
import { readManifestEntries, readManifestHead, type ManifestName } from './manifest-reader.ts'
import { ManifestWriter } from './manifest-writer.ts'
import { manifestKey, manifestPartKey } from './object-keys.ts'
import type { Repository } from './open-repository.ts'

const context = testContext()
const clusterId = sampleClusterId
const revision = { label: sampleLabel, revision: 1 } as const
const headKey = manifestKey(clusterId, revision)
const partKey = (part: number): string => manifestPartKey(clusterId, revision, part)
const files = [sampleFile('a'), sampleFile('b')]

async function bytesAt({ store }: Repository, key: string): Promise<Uint8Array> {
  return (await store.get(key)) ?? assert.fail(key)
}

/** Stores a part with a good seal around frames of entries that ManifestWriter would not write. */
async function storePart(
  repository: Repository,
  { part, frames }: { part: number; frames: readonly (readonly ManifestEntry[])[] },
): Promise<{ sizeBytes: number; digest: string }> {
  const { sealing, namesKey } = repository.keys
  const sealer = createObjectSealer({ keys: sealing, kind: 'manifest-part', key: partKey(part) })
  const sealed = frames.flatMap((entries, index) => {
    const writer = new BinaryWriter()
    const entryContext = newEntryContext()
    for (const entry of entries) encodeEntry(writer, entry, entryContext)
    return sealer.sealFrame(packPayload(writer.finish(), 0), index === frames.length - 1)
  })
  const bytes = Buffer.concat([sealer.header, ...sealed])
  assert.equal(await repository.store.putIfAbsent(partKey(part), bytes), 'created')
  return { sizeBytes: bytes.length, digest: keyedDigest(namesKey, bytes) }
}

/** Stores a head with a good seal, and gives the name under which the catalogue would list it. */
async function storeHead(repository: Repository, head: ManifestHead): Promise<ManifestName> {
  const { sealing, namesKey } = repository.keys
  const sealed = sealSingle(encodeManifestHead(head), { keys: sealing, kind: 'manifest', key: headKey })
  assert.equal(await repository.store.putIfAbsent(headKey, sealed), 'created')
  return { clusterId, ...revision, manifestDigest: keyedDigest(namesKey, sealed) }
}

/** A backup of parts with a good seal. */
async function storeParts(
  repository: Repository,
  parts: readonly (readonly (readonly ManifestEntry[])[])[],
): Promise<ManifestName> {
  const stored = []
  for (const [index, frames] of parts.entries())
    stored.push(await storePart(repository, { part: index + 1, frames }))
  return storeHead(repository, { ...sampleHead(), parts: stored })
}

for (const method of ['aes-256-gcm', 'none'] as const) {
  const open = (): Promise<Repository> =>
    testRepository(context, method === 'none' ? { unlocker: undefined } : {})

  describe(`a manifest with sealing method ${method}`, () => {
    for (const key of [headKey, partKey(1)]) {
      test(`cannot be read when any bit of ${key.slice(key.lastIndexOf('/') + 1)} is flipped or its end is cut (X1)`, async () => {
        const repository = await open()
        const name = await storeManifest(repository, files, context)
        const bytes = await bytesAt(repository, key)
        const changes = [
          ...Array.from({ length: bytes.length * 8 }, (_, bit) => flipBit(bytes, bit)),
          ...Array.from({ length: bytes.length }, (_, length) => bytes.slice(0, length)),
          Buffer.concat([bytes, Buffer.alloc(1)]),
          Buffer.concat([bytes, bytes.subarray(32)]),
        ]

        for (const changed of changes) {
          await replaceObject(repository, key, changed)
          await assert.rejects(readManifest(repository, name, context), isReadingError)
        }
      })
    }

    test('is damaged when its head or a part is missing', async () => {
      for (const key of [headKey, partKey(1)]) {
        const repository = await open()
        const name = await storeManifest(repository, files, context)
        await repository.store.delete([key])

        await assert.rejects(readManifest(repository, name, context), {
          code: 'damaged',
          message: /is missing/,
        })
      }
    })

    test('is damaged when it is not the one that was listed, although it is whole', async () => {
      const repository = await open()
      const listed = await storeManifest(repository, files, context)
      await repository.store.delete([headKey, partKey(1)])
      const written = await storeManifest(repository, files, context)

      assert.equal((await readManifest(repository, written, context)).length, 2)
      await assert.rejects(readManifest(repository, listed, context), {
        code: 'damaged',
        message: /is not the one that was listed/,
      })
    })

    test('is damaged when a part is another one of the same key, although it is whole', async () => {
      const repository = await open()
      const name = await storeManifest(repository, files, context)
      await repository.store.delete([partKey(1)])
      await storePart(repository, { part: 1, frames: [files] })

      await assert.rejects(readManifest(repository, name, context), {
        code: 'damaged',
        message: /is not the one that its manifest means/,
      })
    })

    test('is damaged when two parts changed places', async () => {
      const repository = await open()
      const name = await storeParts(repository, [[[sampleFile('a')]], [[sampleFile('b')]]])
      const [first, second] = [await bytesAt(repository, partKey(1)), await bytesAt(repository, partKey(2))]
      await replaceObject(repository, partKey(1), second)
      await replaceObject(repository, partKey(2), first)

      await assert.rejects(readManifest(repository, name, context), { code: 'damaged' })
    })

    test('is damaged when two parts changed places and the head agrees', async () => {
      const repository = await open()
      const parts = []
      for (const [index, file] of files.entries())
        parts.push(await storePart(repository, { part: index + 1, frames: [[file]] }))
      const [first, second] = [await bytesAt(repository, partKey(1)), await bytesAt(repository, partKey(2))]
      await replaceObject(repository, partKey(1), second)
      await replaceObject(repository, partKey(2), first)
      const name = await storeHead(repository, { ...sampleHead(), parts: parts.toReversed() })

      await assert.rejects(readManifest(repository, name, context), {
        code: 'damaged',
        message: /its seal does not match/,
      })
    })

    test('is damaged when its entries are out of order, within a frame, a part or between parts', async () => {
      const [a, b] = [sampleFile('a'), sampleFile('b')]
      for (const parts of [
        [[[b, a]]],
        [[[a, a]]],
        [[[b], [a]]],
        [[[b]], [[a]]],
        [[[a]], [[a]]],
        [[[sampleFile('z', { root: 7 })], [a]]],
      ]) {
        const repository = await open()
        const name = await storeParts(repository, parts)
        await assert.rejects(readManifest(repository, name, context), {
          code: 'damaged',
          message: /out of order/,
        })
      }
    })

    test('is damaged when an entry refers to a pack or an owner that the head does not have', async () => {
      const source = { kind: 'unit', unit: 0, offset: 0 } as const
      for (const file of [
        sampleFile('a', { extents: [{ length: 8192, source: { ...source, pack: samplePackCount } }] }),
        sampleFile('a', { extents: [{ length: 8192, source: { ...source, pack: 2 ** 51 } }] }),
        sampleFile('a', { owner: 2 }),
        sampleFile('a', { owner: 2 ** 53 - 1 }),
      ]) {
        const repository = await open()
        const name = await storeParts(repository, [[[file]]])
        await assert.rejects(readManifest(repository, name, context), {
          code: 'damaged',
          message: /that the manifest does not have/,
        })
      }
    })

    test('is damaged when its head is that of another backup or of another revision', async () => {
      for (const { change, says } of [
        { change: { label: olderLabel }, says: 'revision 1 of 20260219-153000F' },
        { change: { revision: 2 }, says: 'revision 2 of 20260220-153000F' },
      ]) {
        const repository = await open()
        const { backup, ...head } = sampleHead()
        const name = await storeHead(repository, { ...head, backup: { ...backup, ...change }, parts: [] })

        await assert.rejects(readManifestHead(repository, name, context), {
          code: 'damaged',
          message: new RegExp(`says that it is ${says}`),
        })
      }
    })

    test('is read in the revision that is listed, also when there is a later one', async () => {
      const repository = await open()
      const first = await storeManifest(repository, files, context)
      const { backup, ...head } = sampleHead()
      const later = { clusterId, label: sampleLabel, revision: 2 }
      const writer = new ManifestWriter(repository, later, context)
      const { digest } = await writer.finish({ ...head, backup: { ...backup, revision: 2 } })

      assert.equal((await readManifest(repository, first, context)).length, 2)
      assert.deepEqual(await readManifest(repository, { ...later, manifestDigest: digest }, context), [])
      for (const mixed of [
        { ...later, manifestDigest: first.manifestDigest },
        { ...first, manifestDigest: digest },
      ])
        await assert.rejects(readManifestHead(repository, mixed, context), { code: 'damaged' })
    })

    test('cannot be that of another backup or revision moved here', async () => {
      const repository = await open()
      const older = { clusterId, label: olderLabel, revision: 1 }
      const writer = new ManifestWriter(repository, older, context)
      const { digest } = await writer.finish(sampleHead())
      const bytes = await bytesAt(repository, manifestKey(clusterId, older))
      await repository.store.putIfAbsent(headKey, bytes)

      const name = { clusterId, ...revision, manifestDigest: digest }
      await assert.rejects(readManifestHead(repository, name, context), { code: 'damaged' })
    })
  })
}

describe('a manifest', () => {
  test('without sealing is refused in a sealed repository, and the other way round (4.3)', async () => {
    const sealed = await testRepository(context)
    const plain = withoutSealing(sealed)
    for (const [writing, reading] of [
      [plain, sealed],
      [sealed, plain],
    ] as const) {
      const name = await storeManifest(writing, files, context)

      assert.equal((await readManifest(writing, name, context)).length, 2)
      await assert.rejects(readManifestHead(reading, name, context), { code: 'damaged' })
      await sealed.store.delete([headKey, partKey(1)])
    }
  })

  test('whose part is not sealed is refused in a sealed repository, although its head means it (4.3)', async () => {
    const sealed = await testRepository(context)
    const part = await storePart(withoutSealing(sealed), { part: 1, frames: [files] })
    const name = await storeHead(sealed, { ...sampleHead(), parts: [part] })

    await assert.rejects(readManifest(sealed, name, context), { code: 'damaged', message: /sealing method/ })
  })

  test('gives the entries of a part only when the whole part is as it was', async () => {
    const repository = await testRepository(context)
    const name = await storeParts(repository, [[[sampleFile('a')], [sampleFile('b')]]])
    const head = await readManifestHead(repository, name, context)
    const bytes = await bytesAt(repository, partKey(1))
    await replaceObject(repository, partKey(1), flipBit(bytes, bytes.length * 8 - 1))

    const entries = readManifestEntries(repository, { clusterId, head }, context)
    await assert.rejects(entries.next(), { code: 'damaged' })
  })

  test('stops being read when it is cancelled', async () => {
    const repository = await testRepository(context)
    const name = await storeParts(repository, [[[sampleFile('a')]], [[sampleFile('b')]]])
    const head = await readManifestHead(repository, name, context)
    const controller = new AbortController()
    const cancellable = testContext({ signal: controller.signal })
    const read = async (): Promise<void> => {
      for await (const _ of readManifestEntries(repository, { clusterId, head }, cancellable))
        controller.abort(new Error('cancelled'))
    }

    await assert.rejects(read(), /cancelled/)
    assert.equal((await collect(readManifestEntries(repository, { clusterId, head }, context))).length, 2)
  })
})

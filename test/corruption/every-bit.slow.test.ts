import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { fetchSegment } from '../../src/archive/fetch-segment.ts'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { openWalIndex } from '../../src/archive/stored-wal-index.ts'
import { parseWalIndexKey } from '../../src/archive/wal-index-key.ts'
import { isOperationError, OperationError } from '../../src/domain/operation-error.ts'
import { readCatalogue } from '../../src/repository/catalogue.ts'
import { requireCluster } from '../../src/repository/cluster-record.ts'
import { sealKeySlot, openKeySlot } from '../../src/repository/key-slot.ts'
import { readManifestEntries, readManifestHead } from '../../src/repository/manifest-reader.ts'
import { openRepository } from '../../src/repository/open-repository.ts'
import { PackReader } from '../../src/repository/pack-reader.ts'
import { readObject } from '../../src/repository/sealed-store.ts'
import type { MemoryStore } from '../../src/storage/memory/memory-store.ts'
import { recordingContext } from '../support/archive-fixture.ts'
import { collect, flipBit, replaceObject } from '../support/repository-samples.ts'
import { buildObjects, newerBackup, olderBackup, siteUnlocker, storeOf } from './damaged-site.ts'
import type { Objects } from './damages.ts'

const context = recordingContext()

/** How an object is read, and which one it is. */
interface Reading {
  readonly name: string
  readonly key: RegExp
  /** Every how many bits one is flipped: what is large or slow to open is not flipped in each. With 3, every byte is. */
  readonly stride?: number
  readonly read: (store: MemoryStore, key: string) => Promise<unknown>
}

const readings: readonly Reading[] = [
  {
    name: 'the header',
    key: /^holdfast$/,
    read: async (store) => (await openAll(store)).repository.createdAtMs,
  },
  {
    name: 'a key slot',
    key: /^keys\/(?!0)/,
    read: async (store) => (await openAll(store)).repository.id,
  },
  {
    name: 'a cluster record',
    key: /^clusters\/.*0002$/,
    read: async (store) => (await openAll(store)).cluster,
  },
  {
    name: 'a catalogue entry',
    key: /\/catalog\/0000000002$/,
    stride: 3,
    read: async (store) => {
      const { repository, cluster } = await openAll(store)
      return readCatalogue(repository, cluster.id, context)
    },
  },
  {
    name: 'a lease',
    key: /\/lease\/backup\/.*9999$/,
    read: async (store, key) =>
      readObject((await openAll(store)).repository, { kind: 'lease', key }, context),
  },
  { name: 'a manifest', key: new RegExp(`${newerBackup}/0001/manifest$`), stride: 3, read: readManifest },
  { name: 'a part of a manifest', key: new RegExp(`${newerBackup}/0001/part-0001$`), read: readManifest },
  {
    name: 'a history file',
    key: /\/00000002\.history-/,
    read: async (store) => fetchSegment({ name: '00000002.history' }, await openAll(store), context),
  },
  {
    name: 'a pack',
    key: new RegExp(`/data/${newerBackup}/000001$`),
    stride: 31,
    read: async (store, key) => {
      const { repository } = await openAll(store)
      const bytes = (await repository.store.get(key)) ?? assert.fail()
      const pack = new PackReader(bytes, { keys: repository.keys.sealing, key })
      return [pack.indexTag, pack.units.map((_, number) => pack.unit(number))]
    },
  },
  {
    name: 'a WAL segment',
    key: /\/wal\/.*\/000000010000000000000004-/,
    stride: 131,
    read: async (store) => fetchSegment({ name: '000000010000000000000004' }, await openAll(store), context),
  },
  {
    name: 'the index of a WAL segment',
    key: /\/index\/.*\/000000010000000000000004-/,
    stride: 3,
    read: async (store, key) => {
      const { repository, cluster } = await openAll(store)
      const sealed = (await repository.store.get(key)) ?? assert.fail()
      const index = parseWalIndexKey(cluster.id, key) ?? assert.fail(key)
      return openWalIndex({ ...index, sealed }, { cluster, keys: repository.keys.sealing })
    },
  },
]

// X1: bytes are covered by a seal or a check, not only fields: headers, padding and unused tails included.
describe('reading with any one bit flipped refuses', () => {
  let objects: Objects
  before(async () => {
    objects = await buildObjects()
  })

  for (const { name, key: pattern, stride = 1, read } of readings) {
    test(name, async () => {
      const store = await storeOf(objects)
      const key = keysOfMain(objects).find((candidate) => pattern.test(candidate)) ?? assert.fail()
      const bytes = objects.get(key) ?? assert.fail()
      assert.ok((await read(store, key)) !== undefined)

      for (let bit = 0; bit < bytes.length * 8; bit += stride) {
        await replaceObject({ store }, key, flipBit(bytes, bit))
        await refuses(() => read(store, key), `bit ${bit} of "${key}"`)
      }
    })
  }

  test('a key slot for a passphrase, without deriving a key at a cost that no slot of ours has', async () => {
    const unlocker = { kind: 'passphrase', passphrase: 'correct horse' } as const
    const headerBytes = objects.get('holdfast') ?? assert.fail()
    const slot = await sealKeySlot(Buffer.alloc(32, 1), unlocker, headerBytes)
    // Deriving takes half a second: every bit of the head, but only some of what the seal alone protects.
    const costAt = { first: 11 * 8, last: 14 * 8 - 1 }
    const bits = Array.from({ length: slot.length * 8 }, (_, bit) => bit)
    const cheap = bits.filter((bit) => bit < costAt.first - 8 || (bit >= costAt.first && bit <= costAt.last))
    for (const bit of [...cheap, 14 * 8, slot.length * 8 - 1]) {
      await refuses(async () => {
        const rootKey = await openKeySlot(flipBit(slot, bit), unlocker, { headerBytes, key: 'keys/a' })
        return (
          rootKey ?? Promise.reject(new OperationError('key-wrong', 'the slot is not for this passphrase'))
        )
      }, `bit ${bit}`)
    }
  })
})

/** Without what belongs to the other cluster alone: it is not read. */
function keysOfMain(objects: Objects): readonly string[] {
  const keys = [...objects.keys()]
  const [main] = keys.find((key) => key.includes(olderBackup))?.split('/') ?? []
  return keys.filter((key) => !/^[0-9a-f]{16}\//.test(key) || key.startsWith(`${main}/`))
}

async function refuses(read: () => Promise<unknown>, which: string): Promise<void> {
  try {
    await read()
  } catch (error) {
    assert.ok(isOperationError(error), which)
    assert.ok(error.exitCode === 2 || error.exitCode === 4, `${which}: ${error.message}`)
    return
  }
  assert.fail(`${which} changes nothing: it is not covered`)
}

async function openAll(store: MemoryStore): Promise<ArchivePlace> {
  const repository = await openRepository(store, { unlocker: siteUnlocker }, context)
  return { repository, cluster: await requireCluster(repository, 'main', context) }
}

async function readManifest(store: MemoryStore): Promise<unknown> {
  const { repository, cluster } = await openAll(store)
  const { backups } = await readCatalogue(repository, cluster.id, context)
  const backup = backups.find(({ label }) => label === newerBackup) ?? assert.fail()
  const head = await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
  return collect(readManifestEntries(repository, { clusterId: cluster.id, head }, context))
}

import assert from 'node:assert/strict'
import { createDecipheriv, createHash, createHmac, hkdfSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { BinaryWriter } from '../src/codec/binary-writer.ts'
import { unpackPayload } from '../src/codec/compression.ts'
import { openSealedObject, openSingle, type ObjectKind } from '../src/codec/sealed-object.ts'
import type { BackupLabel } from '../src/domain/backup-label.ts'
import { readCatalogue } from '../src/repository/catalogue.ts'
import { listClusters } from '../src/repository/cluster-record.ts'
import { acquireLease } from '../src/repository/lease.ts'
import { encodeEntry, newEntryContext } from '../src/repository/manifest-entry.ts'
import { encodeManifestHead } from '../src/repository/manifest-head.ts'
import { readManifestEntries, readManifestHead } from '../src/repository/manifest-reader.ts'
import type { UnfinishedHead } from '../src/repository/manifest-writer.ts'
import {
  catalogKey,
  clusterRecordKey,
  keySlotKey,
  manifestKey,
  manifestPartKey,
  packKey,
} from '../src/repository/object-keys.ts'
import { openRepository, type Repository } from '../src/repository/open-repository.ts'
import { encodePackIndex } from '../src/repository/pack-index.ts'
import { PackReader } from '../src/repository/pack-reader.ts'
import { encodeRecord } from '../src/repository/record.ts'
import {
  goldenCluster,
  goldenCreatedAtMs,
  goldenEntries,
  goldenFolder,
  goldenFull,
  goldenHead,
  goldenIncr,
  goldenKeyFile,
  goldenPassphrase,
  goldenRepositoryId,
  goldenRootKey,
  goldenSlotIds,
  goldenStore,
  goldenUnits,
  type GoldenName,
} from './support/golden-repository.ts'
import { collect, comparable } from './support/repository-samples.ts'
import { ManualClock } from './support/manual-clock.ts'
import { testContext } from './support/repository.ts'

const context = testContext()
const manifest = { label: goldenIncr, revision: 1 } as const

const packKeyOf = (name: GoldenName, label: BackupLabel): string =>
  packKey(goldenCluster(name).id, { label, number: 1 })

async function openGolden(name: GoldenName): Promise<Repository> {
  const unlocker = name === 'sealed' ? goldenKeyFile : undefined
  return openRepository(await goldenStore(name), { unlocker }, context)
}

async function bytesAt({ store }: Pick<Repository, 'store'>, key: string): Promise<Uint8Array> {
  return (await store.get(key)) ?? assert.fail(key)
}

async function payloadAt(repository: Repository, kind: ObjectKind, key: string): Promise<Uint8Array> {
  return openSingle(await bytesAt(repository, key), { keys: repository.keys.sealing, kind, key })
}

async function openPack(repository: Repository, key: string): Promise<PackReader> {
  return new PackReader(await bytesAt(repository, key), { keys: repository.keys.sealing, key })
}

/** The golden pack table: sizes and tags come from the packs themselves. */
async function goldenPacks(name: GoldenName): Promise<UnfinishedHead['packs']> {
  const repository = await openGolden(name)
  const references: UnfinishedHead['packs'][number][] = []
  for (const label of [goldenFull, goldenIncr]) {
    const key = packKeyOf(name, label)
    const sizeBytes = (await bytesAt(repository, key)).length
    references.push({ label, number: 1, sizeBytes, indexTag: (await openPack(repository, key)).indexTag })
  }
  return references
}

/** What the frame of the golden manifest part holds. */
function encodedEntries(): Uint8Array {
  const writer = new BinaryWriter()
  const entryContext = newEntryContext()
  for (const entry of goldenEntries) encodeEntry(writer, entry, entryContext)
  return writer.finish()
}

for (const name of ['sealed', 'plain'] as const) {
  describe(`the golden repository (${name}, format 1)`, () => {
    const cluster = goldenCluster(name)
    const clusterId = cluster.id

    test('opens', async () => {
      const repository = await openGolden(name)

      assert.equal(repository.id, 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff')
      assert.equal(repository.createdAtMs, goldenCreatedAtMs)
      assert.deepEqual(await listClusters(repository, context), [cluster])
    })

    test('lists its backup', async () => {
      const repository = await openGolden(name)
      const { number, backups } = await readCatalogue(repository, clusterId, context)

      const { backup } = goldenHead([])
      assert.equal(number, 3)
      assert.deepEqual(
        backups.map(({ manifestDigest: _digest, ...rest }) => rest),
        [{ ...backup, isPinned: false, walRetention: 'onward' }], // written before these fields were
      )
    })

    test('gives the manifest of the backup', async () => {
      const repository = await openGolden(name)
      const { backups } = await readCatalogue(repository, clusterId, context)
      const manifestDigest = backups[0]?.manifestDigest ?? ''
      const head = await readManifestHead(repository, { clusterId, ...manifest, manifestDigest }, context)
      const entries = await collect(readManifestEntries(repository, { clusterId, head }, context))

      const { parts, ...rest } = head
      assert.deepEqual(comparable(rest), comparable(goldenHead(await goldenPacks(name))))
      assert.equal(parts.length, 1)
      assert.deepEqual(comparable(entries), comparable(goldenEntries))
    })

    test('gives the units of its packs, and hashes blocks as it was', async () => {
      const repository = await openGolden(name)
      const units = goldenUnits(repository.keys.blockHashSeed)
      for (const [label, expected] of [
        [goldenFull, units.full],
        [goldenIncr, units.incr],
      ] as const) {
        const reader = await openPack(repository, packKeyOf(name, label))
        const read = reader.units.map(({ pieces }, number) => ({ raw: reader.unit(number), pieces }))

        assert.deepEqual(comparable(read), comparable(expected))
      }
    })

    test('is encoded to the byte', async () => {
      const repository = await openGolden(name)
      const partKey = manifestPartKey(clusterId, manifest, 1)
      const identity = { keys: repository.keys.sealing, kind: 'manifest-part', key: partKey } as const
      const [frame] = openSealedObject(await bytesAt(repository, partKey), identity)
      const headKey = manifestKey(clusterId, manifest)
      const { backups } = await readCatalogue(repository, clusterId, context)
      const manifestDigest = backups[0]?.manifestDigest ?? ''
      const head = await readManifestHead(repository, { clusterId, ...manifest, manifestDigest }, context)

      const clusterKey = clusterRecordKey(clusterId, 1)
      for (const [stored, encoded] of [
        [await payloadAt(repository, 'cluster', clusterKey), encodeRecord(cluster)],
        [await payloadAt(repository, 'manifest', headKey), encodeManifestHead(head)],
        [unpackPayload(frame ?? assert.fail()), encodedEntries()],
      ])
        assert.equal(
          Buffer.from(stored ?? []).toString('latin1'),
          Buffer.from(encoded ?? []).toString('latin1'),
        )
    })

    test('has a lease that has run out and is passed over', async () => {
      const repository = await openGolden(name)
      const holder = { host: 'db2', bootId: 'c', pidNamespace: '1', pid: 1, startTicks: '1' }
      const request = { clusterId, scope: 'backup', purpose: 'a test', holder }
      // Its beat is old, so it is watched for more than a minute: by a clock for which that is no time.
      const clock = new ManualClock()
      await using lease = await acquireLease(repository, request, testContext({ clock }))

      assert.equal(lease.token, 8)
    })
  })
}

describe('the golden repository', () => {
  test('opens with its passphrase too, to the same keys', async () => {
    const byPassphrase = await openRepository(
      await goldenStore('sealed'),
      { unlocker: goldenPassphrase },
      context,
    )

    assert.deepEqual(byPassphrase.keys, (await openGolden('sealed')).keys)
  })

  test('gives up its root key and derived keys by what docs/formats/repository.md says alone', async () => {
    const store = await goldenStore('sealed')
    const header = Buffer.from(await bytesAt({ store }, 'holdfast'))
    const slot = Buffer.from(await bytesAt({ store }, keySlotKey(goldenSlotIds.keyFile)))
    const { keys } = await openGolden('sealed')

    assert.ok(
      createHash('sha256')
        .update(header.subarray(0, 36))
        .digest()
        .subarray(0, 16)
        .equals(header.subarray(36)),
    )
    assert.equal(header.readBigUInt64LE(28), BigInt(goldenCreatedAtMs))
    const rootKey = unwrap(slot, header)
    assert.deepEqual(Buffer.from(rootKey), Buffer.from(goldenRootKey))
    const derive = (purpose: string, length: number): Buffer =>
      Buffer.from(hkdfSync('sha256', rootKey, header.subarray(12, 28), `holdfast v1 ${purpose}`, length))
    assert.deepEqual(derive('objects of epoch 1', 32), Buffer.from(keys.sealing.epochs.get(1) ?? []))
    assert.equal(derive('block hashes', 8).readBigUInt64LE(), keys.blockHashSeed)
    const keyedDigest = (bytes: Uint8Array | string): string =>
      createHmac('sha256', derive('content-addressed names', 32)).update(bytes).digest('hex').slice(0, 32)
    const clusterId = keyedDigest('cluster main').slice(0, 16)
    const digest = keyedDigest(await bytesAt({ store }, manifestKey(clusterId, manifest)))
    const entry = String(
      Buffer.from(await payloadAt(await openGolden('sealed'), 'catalogue-entry', catalogKey(clusterId, 3))),
    )
    assert.ok(entry.includes(`"manifestDigest":"${digest}"`))
  })

  for (const { document, what, bytes } of [
    { document: 'repository', what: 'header', bytes: () => goldenFile('sealed/holdfast') },
    {
      document: 'repository',
      what: 'key slot',
      bytes: () => goldenFile(`sealed/${keySlotKey(goldenSlotIds.keyFile)}`),
    },
    { document: 'pack', what: 'pack', bytes: () => goldenFile(`plain/${packKeyOf('plain', goldenIncr)}`) },
    { document: 'pack', what: 'index', bytes: printedIndex },
    { document: 'manifest', what: 'frame of entries', bytes: encodedEntries },
  ]) {
    test(`has a ${what} that is printed in docs/formats/${document}.md`, async () => {
      const text = readFileSync(join(import.meta.dirname, `../docs/formats/${document}.md`), 'utf8')
      const printed = text
        .split('```text\n')
        .map((block) => block.split('```')[0]?.replaceAll(/\s|#.*$/gm, ''))

      assert.ok(printed.includes(Buffer.from(await bytes()).toString('hex')), `${what} is not printed`)
    })
  }
})

const goldenFile = (path: string): Uint8Array => readFileSync(join(goldenFolder, path))

async function printedIndex(): Promise<Uint8Array> {
  return encodePackIndex((await openPack(await openGolden('plain'), packKeyOf('plain', goldenIncr))).units)
}

/** The root key out of a slot for a key file. */
function unwrap(slot: Buffer, header: Buffer): Uint8Array {
  const secret = goldenKeyFile.kind === 'key-file' ? goldenKeyFile.secret : assert.fail()
  const wrapping = hkdfSync('sha256', secret, slot.subarray(14, 46), 'holdfast key file v1', 32)
  const opening = createDecipheriv('aes-256-gcm', Buffer.from(wrapping), slot.subarray(46, 58))
  opening.setAAD(Buffer.concat([slot.subarray(0, 58), header])).setAuthTag(slot.subarray(90))
  assert.deepEqual(header.subarray(12, 28), Buffer.from(goldenRepositoryId))
  return Buffer.concat([opening.update(slot.subarray(58, 90)), opening.final()])
}

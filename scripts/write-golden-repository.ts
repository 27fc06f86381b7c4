// Writes the golden repositories, test/golden/repository-v1/{sealed,plain}: an object for each file, at the path that is
// its key. To be run once for a format version. Salts are random, so a second run would give other bytes: it refuses.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { RunContext } from '../src/domain/run-context.ts'
import { systemClock } from '../src/platform/system-clock.ts'
import { changeCatalogue } from '../src/repository/catalogue.ts'
import type { ClusterRecord } from '../src/repository/cluster-record.ts'
import { sealKeySlot } from '../src/repository/key-slot.ts'
import { ManifestWriter, type UnfinishedHead } from '../src/repository/manifest-writer.ts'
import {
  clusterRecordKey,
  keySlotKey,
  leaseKey,
  packKey,
  repositoryHeaderKey,
  type PackName,
} from '../src/repository/object-keys.ts'
import { openRepository, type Repository } from '../src/repository/open-repository.ts'
import { encodeRecord } from '../src/repository/record.ts'
import { encodeRepositoryHeader } from '../src/repository/repository-header.ts'
import { writeObject } from '../src/repository/sealed-store.ts'
import { MemoryStore } from '../src/storage/memory/memory-store.ts'
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
  goldenUnits,
  type GoldenName,
} from '../test/support/golden-repository.ts'
import type { SampleUnit } from '../test/support/repository-samples.ts'
import { buildPack } from '../test/support/sample-packs.ts'

const context: RunContext = {
  signal: new AbortController().signal,
  clock: { ...systemClock, now: () => goldenCreatedAtMs + 5000 },
  report: () => undefined,
}

async function createGolden(name: GoldenName): Promise<Repository> {
  const store = new MemoryStore(name, systemClock)
  const method = name === 'sealed' ? 'aes-256-gcm' : 'none'
  const headerBytes = encodeRepositoryHeader({
    repositoryId: goldenRepositoryId,
    method,
    createdAtMs: goldenCreatedAtMs,
  })
  await store.putIfAbsent(repositoryHeaderKey, headerBytes)
  if (name === 'plain') return openRepository(store, { unlocker: undefined }, context)
  for (const [slotId, unlocker] of [
    [goldenSlotIds.keyFile, goldenKeyFile],
    [goldenSlotIds.passphrase, goldenPassphrase],
  ] as const)
    await store.putIfAbsent(keySlotKey(slotId), await sealKeySlot(goldenRootKey, unlocker, headerBytes))
  return openRepository(store, { unlocker: goldenKeyFile }, context)
}

async function writePack(
  { store, keys }: Repository,
  name: PackName & { readonly clusterId: string },
  units: readonly SampleUnit[],
): Promise<UnfinishedHead['packs'][number]> {
  const { label, number } = name
  const key = packKey(name.clusterId, name)
  const { bytes, sizeBytes, indexTag } = buildPack(units, { keys: keys.sealing, key })
  await store.putIfAbsent(key, bytes)
  return { label, number, sizeBytes, indexTag }
}

async function fill(repository: Repository, record: ClusterRecord): Promise<void> {
  const clusterId = record.id
  const cluster = { kind: 'cluster', key: clusterRecordKey(clusterId, 1) } as const
  await writeObject(repository, { name: cluster, payload: encodeRecord(record) }, context)
  const units = goldenUnits(repository.keys.blockHashSeed)
  const packs = [
    await writePack(repository, { clusterId, label: goldenFull, number: 1 }, units.full),
    await writePack(repository, { clusterId, label: goldenIncr, number: 1 }, units.incr),
  ]
  const manifest = new ManifestWriter(repository, { clusterId, label: goldenIncr, revision: 1 }, context)
  for (const entry of goldenEntries) await manifest.add(entry)
  const { backup, ...head } = goldenHead(packs)
  const { digest: manifestDigest } = await manifest.finish({ backup, ...head })
  const gone = { ...backup, label: goldenFull, type: 'full' as const, manifestDigest: '0'.repeat(32) }
  for (const change of [
    { kind: 'publish', backup: gone },
    { kind: 'publish', backup: { ...backup, manifestDigest } },
    { kind: 'remove', labels: [goldenFull], ownWal: [] },
  ] as const)
    await changeCatalogue(repository, { clusterId, change, confirm: () => Promise.resolve() }, context)
  const lease = { kind: 'lease', key: leaseKey(clusterId, 'backup', { token: 7, beat: 3 }) } as const
  const holder = { host: 'db1', bootId: 'b', pidNamespace: '4026531836', pid: 4711, startTicks: '12345' }
  const payload = encodeRecord({ purpose: 'a backup', holder, beatAtMs: goldenCreatedAtMs })
  await writeObject(repository, { name: lease, payload }, context)
}

for (const name of ['sealed', 'plain'] as const) {
  const folder = join(goldenFolder, name)
  assert.ok(!existsSync(folder), `${folder} exists: golden files are never written again`)
  const repository = await createGolden(name)
  await fill(repository, goldenCluster(name))
  for await (const { key } of repository.store.list('', context)) {
    mkdirSync(dirname(join(folder, key)), { recursive: true })
    writeFileSync(join(folder, key), (await repository.store.get(key)) ?? assert.fail())
  }
}

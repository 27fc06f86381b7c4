import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { pushFile } from '../../src/archive/push-file.ts'
import { storeWalIndex } from '../../src/archive/stored-wal-index.ts'
import { keyedDigest } from '../../src/codec/keyed-digest.ts'
import { parseArchiveFileName } from '../../src/domain/archive-file-name.ts'
import { parseSystemIdentifier } from '../../src/domain/system-identifier.ts'
import { parseSegmentName, toWalSegmentSize } from '../../src/domain/wal-segment.ts'
import { readProcessIdentity } from '../../src/platform/process-identity.ts'
import { systemClock } from '../../src/platform/system-clock.ts'
import { ensureCluster, listClusters } from '../../src/repository/cluster-record.ts'
import { openKeySlot, sealKeySlot, type Unlocker } from '../../src/repository/key-slot.ts'
import { acquireLease } from '../../src/repository/lease.ts'
import { clusterRecordKey, keySlotKey, repositoryHeaderKey } from '../../src/repository/object-keys.ts'
import { readObject, writeObject } from '../../src/repository/sealed-store.ts'
import { writeSweepMarks } from '../../src/retention/sweep-marks.ts'
import { MemoryStore } from '../../src/storage/memory/memory-store.ts'
import { scanSegment } from '../../src/wal/scan-segment.ts'
import { nothingProven } from '../../src/verify/verify-state.ts'
import { writeVerifyState } from '../../src/verify/verify-state-store.ts'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
  testSystemIdentifier,
} from '../support/archive-fixture.ts'
import { mainData, WalBuilder } from '../support/wal-builder.ts'
import type { Objects } from './damages.ts'
import { leastFiles, storeSyntheticBackup } from './synthetic-backup.ts'

export const olderBackup = '20260219-153000F'
export const newerBackup = '20260220-153000F'
const segmentBytes = 1024 * 1024

/** What opens the repository; `createPlace` made it with this. */
export const siteUnlocker: Unlocker = { kind: 'key-file', secret: Buffer.alloc(32, 7) }

const segmentName = (segment: number, timeline = 1): string =>
  `${timeline.toString(16).padStart(8, '0')}00000000${segment.toString(16).padStart(8, '0')}`

/**
 * A repository with every kind of object and at least one sibling of each: two clusters, two backups with their WAL,
 * branches on other timelines, two key slots, two leases. All of it is what our own writers write.
 */
export async function buildObjects(): Promise<Objects> {
  const store = new MemoryStore('sweep', systemClock)
  const place = await createPlace({ store })
  await addKeySlot(place)
  await reviseCluster(place)
  await addBackups(place)
  await archive(place)
  await addOtherCluster(place)
  await leaveLeases(place)
  await leaveMemories(place)
  return objectsOf(store)
}

async function addBackups(place: ArchivePlace): Promise<void> {
  const files = leastFiles(testSystemIdentifier)
  await storeSyntheticBackup(place, { label: olderBackup, segment: 2, segmentBytes, ...files })
  await storeSyntheticBackup(place, { label: newerBackup, segment: 4, segmentBytes, ...files })
}

async function addKeySlot({ repository: { store } }: ArchivePlace): Promise<void> {
  const headerBytes = await store.get(repositoryHeaderKey)
  for await (const { key } of store.list('keys/')) {
    const bytes = await store.get(key)
    assert.ok(bytes && headerBytes)
    const rootKey = await openKeySlot(bytes, siteUnlocker, { headerBytes, key })
    assert.ok(rootKey)
    const other: Unlocker = { kind: 'key-file', secret: Buffer.alloc(32, 8) }
    await store.putIfAbsent(keySlotKey('00000000000000aa'), await sealKeySlot(rootKey, other, headerBytes))
    return
  }
}

/** Writes the same record under the next number, as a later version that has more to say would. */
async function reviseCluster({ repository, cluster }: ArchivePlace): Promise<void> {
  const context = recordingContext()
  const [first, second] = [1, 2].map(
    (revision) => ({ kind: 'cluster', key: clusterRecordKey(cluster.id, revision) }) as const,
  )
  assert.ok(first && second)
  const payload = await readObject(repository, first, context)
  assert.ok(payload)
  await writeObject(repository, { name: second, payload }, context)
}

async function archive(place: ArchivePlace): Promise<void> {
  await using folder = await temporaryFolder()
  const tools = { repositories: [place] }
  const push = async (name: string, content: string | Uint8Array): Promise<void> => {
    await writeFile(join(folder.path, name), content)
    await pushFile({ path: join(folder.path, name) }, tools, recordingContext())
  }
  for (const [index, content] of buildWal(4).entries()) {
    await push(segmentName(2 + index), content)
    await storeIndex(place, segmentName(2 + index), content)
  }
  await push('00000002.history', '1\t0/580000\tno recovery target specified\n')
  await push('00000003.history', '1\t0/580000\tbefore 2026-02-20 16:00:00+00\n')
  for (const timeline of [2, 3]) {
    const name = segmentName(5, timeline)
    await push(name, buildSegment(name, { timeline: 1, fill: 10 + timeline }))
  }
}

async function storeIndex(place: ArchivePlace, name: string, content: Uint8Array): Promise<void> {
  const file = parseArchiveFileName(name)
  const digest = keyedDigest(place.repository.keys.namesKey, new TextEncoder().encode(name), content)
  const { startLsn } = parseSegmentName(name, place.cluster.walSegmentSize)
  const contents = scanSegment(content, { startLsn })
  await storeWalIndex({ name: file, digest, contents }, place, recordingContext())
}

/** Segments with records, from number 2 on. */
function buildWal(segmentCount: number): readonly Uint8Array[] {
  const builder = new WalBuilder({
    startLsn: BigInt(2 * segmentBytes),
    systemIdentifier: BigInt(testSystemIdentifier),
  })
  for (let segment = 0; segment < segmentCount; segment += 1) {
    for (let record = 0; record < 50; record += 1) {
      builder.append({ body: mainData(Buffer.alloc(2000, segment + record)) })
    }
    builder.switchSegment()
  }
  return builder.segments.map(({ bytes }) => bytes)
}

async function addOtherCluster({ repository }: ArchivePlace): Promise<void> {
  const systemIdentifier = parseSystemIdentifier('7654321098765432110')
  const cluster = await ensureCluster(
    repository,
    { name: 'other', systemIdentifier, major: 16, walSegmentSize: toWalSegmentSize(segmentBytes) },
    recordingContext(),
  )
  const files = leastFiles(systemIdentifier)
  await storeSyntheticBackup(
    { repository, cluster },
    { label: newerBackup, segment: 4, segmentBytes, ...files },
  )
}

/** What a process that died leaves. */
async function leaveLeases({ repository, cluster }: ArchivePlace): Promise<void> {
  const holder = readProcessIdentity()
  for (const scope of ['backup', 'expire']) {
    const request = { clusterId: cluster.id, scope, purpose: 'a test', holder }
    await using _ = await acquireLease(repository, request, recordingContext())
  }
}

/** What verify and sweep remember: of each the newest, and for verify the one before it; the same of the other cluster. */
async function leaveMemories({ repository, cluster }: ArchivePlace): Promise<void> {
  const context = recordingContext()
  const clusters = await listClusters(repository, context)
  for (const { id: clusterId } of clusters) {
    for (const writtenAtMs of [1, 2])
      await writeVerifyState(repository, { clusterId, state: { ...nothingProven, writtenAtMs } }, context)
    const marks = new Map([[`${clusterId}/data/${olderBackup}/000009`, 1]])
    for (const before of clusterId === cluster.id ? [0, 1] : [0])
      await writeSweepMarks(repository, { clusterId, before, marks }, context)
  }
}

async function objectsOf(store: MemoryStore): Promise<Objects> {
  const objects = new Map<string, Uint8Array>()
  for await (const { key } of store.list('')) objects.set(key, (await store.get(key)) ?? assert.fail())
  return objects
}

export async function storeOf(objects: Objects): Promise<MemoryStore> {
  const store = new MemoryStore('sweep', systemClock)
  for (const [key, bytes] of objects) await store.putIfAbsent(key, bytes)
  return store
}

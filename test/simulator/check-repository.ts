import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { isOperationError } from '../../src/domain/operation-error.ts'
import type { BackupEntry } from '../../src/repository/backup-entry.ts'
import { labelsOf, readCatalogue } from '../../src/repository/catalogue.ts'
import type { DumpEntry } from '../../src/repository/dump-entry.ts'
import { readDumpHead } from '../../src/repository/dump-reader.ts'
import { readManifestHead } from '../../src/repository/manifest-reader.ts'
import {
  dumpFolder,
  dumpHeadKey,
  dumpPartKey,
  manifestFolder,
  manifestKey,
  packFolder,
  packKey,
  walIndexPrefix,
  walPrefix,
  type PackName,
} from '../../src/repository/object-keys.ts'
import { testContext } from '../support/repository.ts'
import { segmentIndexKey, segmentKey } from './commands.ts'
import type { SimulatedCluster } from './simulated-cluster.ts'

/** What is wrong with the repository as it is now: nothing listed may lack anything, nothing that was said may be untrue. */
export async function findBrokenPromises(site: SimulatedCluster): Promise<readonly string[]> {
  const needs = await readNeeds(site)
  const stored = new Set(await allKeys(site, ''))
  return [...site.complaints, ...findMissing(site, { needs, stored }), ...findUnlisted(site, needs)]
}

function findMissing(
  { known, truth }: SimulatedCluster,
  { needs, stored }: { readonly needs: Needs; readonly stored: ReadonlySet<string> },
): readonly string[] {
  const segments = [...needs.segments].filter((number) => known.archived.has(number))
  const needed = [...needs.objects, ...segments.map((number) => segmentKey(truth, number))]
  return needed.filter((key) => !stored.has(key)).map((key) => `${key} is needed and missing`)
}

function findUnlisted({ known }: SimulatedCluster, { labels }: Needs): readonly string[] {
  const isGone = (label: string): boolean => !labels.has(label)
  const kept = [...known.backups, ...known.dumps].filter((label) => !known.doomed.has(label))
  return [
    ...kept.filter(isGone).map((label) => `${label} was done and is not listed`),
    ...[...known.pinned].filter(isGone).map((label) => `${label} was pinned and is gone`),
  ]
}

/** What is still there although nothing needs it. For the end, after sweeps without faults. */
export async function findLeftovers(site: SimulatedCluster): Promise<readonly string[]> {
  const { objects, segments, backupCount } = await readNeeds(site)
  const { cluster } = site.truth
  const archived = Array.from(segments, (number) => [
    segmentKey(site.truth, number),
    segmentIndexKey(site.truth, number),
  ])
  const needed = new Set([...objects, ...archived.flat()])
  const folders = [packFolder(cluster.id), manifestFolder(cluster.id), dumpFolder(cluster.id)]
  // Without any backup nothing says which WAL is needed.
  if (backupCount > 0) folders.push(walPrefix(cluster.id), walIndexPrefix(cluster.id))
  const stored = await Promise.all(folders.map((folder) => allKeys(site, folder)))
  return stored.flat().filter((key) => !needed.has(key))
}

interface Needs {
  /** Of backups and dumps. */
  readonly labels: ReadonlySet<string>
  readonly backupCount: number
  readonly objects: readonly string[]
  readonly segments: ReadonlySet<number>
}

/** Worked out from the listed backups alone, by other means than the sweep's. */
async function readNeeds({ truth, known }: SimulatedCluster): Promise<Needs> {
  const { repository, cluster } = truth
  const context = testContext()
  const listed = await readCatalogue(repository, cluster.id, context)
  const { backups, dumps } = listed
  const objects: string[] = []
  const segments = new Set<number>()
  for (const backup of backups) {
    const key = manifestKey(cluster.id, backup)
    objects.push(key)
    for (const pack of await readPacks(truth, backup)) objects.push(packKey(cluster.id, pack))
    const first = Number(backup.startLsn / BigInt(cluster.walSegmentSize))
    const own = Number(backup.stopLsn / BigInt(cluster.walSegmentSize))
    const last = backup.walRetention === 'own' ? own : Math.max(own, known.filledSegments)
    for (let number = first; number <= last; number += 1) segments.add(number)
  }
  for (const dump of dumps) objects.push(...(await readDumpKeys(truth, dump)))
  return { labels: labelsOf(listed), backupCount: backups.length, objects, segments }
}

const keysOfDump = new WeakMap<ArchivePlace, Map<string, readonly string[]>>()

/** As `readPacks`: heads never change. */
async function readDumpKeys(truth: ArchivePlace, dump: DumpEntry): Promise<readonly string[]> {
  const cache = keysOfDump.get(truth) ?? new Map<string, readonly string[]>()
  keysOfDump.set(truth, cache)
  const known = cache.get(dump.headDigest)
  if (known !== undefined) return known
  const { id } = truth.cluster
  const { label } = dump
  const headKey = dumpHeadKey(id, label)
  try {
    const { members } = await readDumpHead(truth, dump, testContext())
    const parts = members.flatMap((member) => member.parts)
    const keys = [headKey, ...parts.map(({ number }) => dumpPartKey(id, { label, number }))]
    cache.set(dump.headDigest, keys)
    return keys
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    return [headKey]
  }
}

const packsOfManifest = new WeakMap<ArchivePlace, Map<string, readonly PackName[]>>()

/** Manifests never change: each is read once. One that is missing names nothing more, and is itself missed. */
async function readPacks(truth: ArchivePlace, backup: BackupEntry): Promise<readonly PackName[]> {
  const cache = packsOfManifest.get(truth) ?? new Map<string, readonly PackName[]>()
  packsOfManifest.set(truth, cache)
  const known = cache.get(backup.manifestDigest)
  if (known !== undefined) return known
  try {
    const name = { clusterId: truth.cluster.id, ...backup }
    const { packs } = await readManifestHead(truth.repository, name, testContext())
    cache.set(backup.manifestDigest, packs)
    return packs
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    return []
  }
}

async function allKeys({ truth }: SimulatedCluster, prefix: string): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of truth.repository.store.list(prefix)) keys.push(key)
  return keys
}

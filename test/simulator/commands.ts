import { Readable } from 'node:stream'
import { parseArchiveFileName } from '../../src/domain/archive-file-name.ts'
import { nextLabel } from '../../src/domain/backup-label.ts'
import { isOperationError } from '../../src/domain/operation-error.ts'
import { instantFromMs } from '../../src/domain/target-time.ts'
import { toTimelineId } from '../../src/domain/timeline.ts'
import { segmentNameOf } from '../../src/domain/wal-segment.ts'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { walIndexKey } from '../../src/archive/wal-index-key.ts'
import { archivedNamePrefix, walObjectKey } from '../../src/archive/wal-object-key.ts'
import { discardPacks } from '../../src/backup/discard-packs.ts'
import { readProcessIdentity } from '../../src/platform/process-identity.ts'
import {
  changeCatalogue,
  labelsOf,
  readCatalogue,
  type Catalogue,
  type CatalogueChange,
} from '../../src/repository/catalogue.ts'
import { readDumpHead, readMember } from '../../src/repository/dump-reader.ts'
import { openDumpWriter } from '../../src/repository/dump-writer.ts'
import { acquireLease, type Lease } from '../../src/repository/lease.ts'
import { readManifestHead } from '../../src/repository/manifest-reader.ts'
import { packKey, packPrefix, type PackName } from '../../src/repository/object-keys.ts'
import { acquireDumpLease, chooseDumpLabel, publishDump } from '../../src/repository/take-dump.ts'
import { holdRestoreLease } from '../../src/restore/hold-restore-lease.ts'
import { sweepCluster } from '../../src/retention/sweep.ts'
import { storeBackupManifest } from '../support/stored-cluster.ts'
import type { SimulatedCluster, Tools } from './simulated-cluster.ts'

/*
 * The commands as far as the repository sees them: their own code where it is about the repository, nothing where it is
 * about a server or files.
 */

const minuteMs = 60_000
const allowed = (): Promise<void> => Promise.resolve()

export function segmentKey(place: ArchivePlace, number: number): string {
  const object = { name: segmentFile(place, number), digest: 'ab'.repeat(16), part: 0 }
  return walObjectKey(place.cluster.id, object)
}

/** Of the index that may be stored as soon as there is the segment. */
export function segmentIndexKey(place: ArchivePlace, number: number): string {
  return walIndexKey(place.cluster.id, { name: segmentFile(place, number), digest: 'ab'.repeat(16) })
}

function segmentFile({ cluster }: ArchivePlace, number: number) {
  return parseArchiveFileName(segmentNameOf(toTimelineId(1), BigInt(number), cluster.walSegmentSize))
}

/** PostgreSQL offers its oldest segment until a process says that it is archived. */
export async function push({ known }: SimulatedCluster, { place, context }: Tools): Promise<void> {
  for (let number = 1; number <= known.filledSegments; number += 1) {
    if (known.archived.has(number)) continue
    const key = segmentKey(place, number)
    const { store } = place.repository
    // As archive-push does: what was there before must be read back before PostgreSQL lets go of its own.
    const answer = await store.putIfAbsent(key, Buffer.from(`segment ${number}`), context)
    // As whoever first reads the segment does, best effort: nothing depends on it.
    await store.putIfAbsent(segmentIndexKey(place, number), Buffer.from(`index ${number}`), context)
    if (answer === 'exists' && (await store.get(key, undefined, context)) === undefined) continue
    known.archived.add(number)
  }
}

/** A backup of some packs of its own and, when there is one before it, some of that one's. */
export async function backup(site: SimulatedCluster, { place, context }: Tools): Promise<void> {
  const { repository, cluster } = place
  const holder = readProcessIdentity()
  const request = { clusterId: cluster.id, scope: 'backup', purpose: 'a backup', holder }
  await using lease = await acquireLease(repository, request, context)
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  const listed = await readCatalogue(repository, cluster.id, held)
  const { backups } = listed
  const taken = labelsOf(listed)
  let label = nextLabel(context.clock.now(), 'full', taken)
  while (await hasAny(place, packPrefix(cluster.id, label))) {
    taken.add(label)
    label = nextLabel(context.clock.now(), 'full', taken)
  }
  try {
    await takeBackup({ site, lease, label }, { place, context: held }, backups)
  } catch (error) {
    await discardPacks({ repository, clusterId: cluster.id, label, lease }, context)
    throw error
  }
  site.known.backups.add(label)
}

async function takeBackup(
  { site, lease, label }: { site: SimulatedCluster; lease: Lease; label: PackName['label'] },
  { place, context }: Pick<Tools, 'place' | 'context'>,
  backups: Catalogue['backups'],
): Promise<void> {
  const { repository, cluster } = place
  const { random, known } = site
  const firstSegment = known.filledSegments + 1
  const packs: PackName[] = []
  const parent = backups.at(-1)
  if (parent !== undefined && random(3) > 0) {
    const head = await readManifestHead(repository, { clusterId: cluster.id, ...parent }, context)
    packs.push(...head.packs.filter(() => random(2) === 0))
  }
  for (let number = 1, count = 1 + random(3); number <= count; number += 1) {
    context.signal.throwIfAborted()
    await repository.store.putIfAbsent(packKey(cluster.id, { label, number }), Buffer.from('a pack'), context)
    packs.push({ label, number })
    if (random(4) === 0) await context.clock.sleep(random(2 * minuteMs), context.signal)
  }
  known.filledSegments += 1 + random(3)
  const lastSegment = known.filledSegments
  for (let number = firstSegment; number <= lastSegment; number += 1) {
    while (!(await hasAny(place, archivedNamePrefix(cluster.id, segmentFile(place, number)))))
      await context.clock.sleep(10_000, context.signal)
  }
  const entry = await storeBackupManifest(place, { label, firstSegment, lastSegment, packs }, context)
  const change = { kind: 'publish', backup: entry } as const
  const confirm = (): Promise<void> => lease.confirm()
  await changeCatalogue(repository, { clusterId: cluster.id, change, confirm }, context)
}

/** A dump of a few small members, by the writer itself. */
export async function dump({ random, known }: SimulatedCluster, { place, context }: Tools): Promise<void> {
  await using lease = await acquireDumpLease(place, context)
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  const label = await chooseDumpLabel(place, held)
  const writer = openDumpWriter(place, { label, lease }, held)
  try {
    for (let number = 1, count = 1 + random(3); number <= count; number += 1) {
      const member = { name: `db${number}`, kind: 'database', database: undefined, format: 'plain' }
      await writer.writeMember(member, Readable.from([Buffer.from(`dump ${number}`)]))
      // Databases take their time.
      if (random(2) === 0) await context.clock.sleep(random(20 * minuteMs), held.signal)
    }
    const moment = instantFromMs(context.clock.now())
    const entry = await writer.finish({ startedAt: moment, stoppedAt: moment, facts: {} })
    await publishDump({ place, lease, dump: entry }, held)
  } catch (error) {
    await writer.discard()
    throw error
  }
  known.dumps.add(label)
}

/** Keeps the newest few dumps and whatever is pinned. */
export async function removeDumps(
  { known, random }: SimulatedCluster,
  { place, context }: Tools,
): Promise<void> {
  const { repository, cluster } = place
  const holder = readProcessIdentity()
  const request = { clusterId: cluster.id, scope: 'expire', purpose: 'delete', holder }
  await using lease = await acquireLease(repository, request, context)
  const keep = random(3)
  const change = ({ dumps }: Catalogue): CatalogueChange => {
    const old = dumps.slice(0, Math.max(0, dumps.length - keep)).filter(({ isPinned }) => !isPinned)
    for (const { label } of old) known.doomed.add(label)
    return { kind: 'remove-dumps', labels: old.map(({ label }) => label) }
  }
  const confirm = (): Promise<void> => lease.confirm()
  await changeCatalogue(repository, { clusterId: cluster.id, change, confirm }, context)
}

async function hasAny({ repository }: ArchivePlace, prefix: string): Promise<boolean> {
  for await (const _ of repository.store.list(prefix)) return true
  return false
}

/** Keeps the newest few and whatever is pinned; older ones keep only their own WAL, sometimes. */
export async function expire({ known, random }: SimulatedCluster, { place, context }: Tools): Promise<void> {
  const { repository, cluster } = place
  const holder = readProcessIdentity()
  const request = { clusterId: cluster.id, scope: 'expire', purpose: 'expire', holder }
  await using lease = await acquireLease(repository, request, context)
  const keep = 1 + (random(2) === 0 ? 0 : random(3))
  const narrows = random(2) === 0
  const change = ({ backups }: Catalogue): CatalogueChange => {
    const old = backups.slice(0, -keep).filter(({ isPinned }) => !isPinned)
    for (const { label } of old) known.doomed.add(label)
    const rest = backups.filter((one) => !old.includes(one))
    const ownWal = narrows ? rest.slice(0, -1).map(({ label }) => label) : []
    return { kind: 'remove', labels: old.map(({ label }) => label), ownWal }
  }
  const confirm = (): Promise<void> => lease.confirm()
  await changeCatalogue(repository, { clusterId: cluster.id, change, confirm }, context)
}

export async function pin({ known, random }: SimulatedCluster, { place, context }: Tools): Promise<void> {
  const { repository, cluster } = place
  const { backups, dumps } = await readCatalogue(repository, cluster.id, context)
  const all = [...backups, ...dumps]
  const label = all[random(Math.max(1, all.length))]?.label
  if (label === undefined) return
  const change = { kind: 'pin', label } as const
  const changed = await changeCatalogue(
    repository,
    { clusterId: cluster.id, change, confirm: allowed },
    context,
  )
  if ([...changed.backups, ...changed.dumps].some((one) => one.label === label)) known.pinned.add(label)
}

export async function sweep(
  _site: SimulatedCluster,
  { place, context }: Tools,
  graceMs: number,
): Promise<void> {
  await sweepCluster({ graceMs, isDryRun: false }, place, context)
}

/** Reads a listed dump, slowly, as whoever loads it does. Complains as `restore` does. */
export async function load(site: SimulatedCluster, { place, context, process }: Tools): Promise<void> {
  await using held = await holdRestoreLease(place, context)
  const { dumps } = await readCatalogue(place.repository, place.cluster.id, context)
  // The oldest is the one that somebody may be about to remove.
  const [entry] = dumps
  if (entry === undefined) return
  try {
    for (const member of (await readDumpHead(place, entry, context)).members) {
      await context.clock.sleep(site.random(20 * minuteMs), context.signal)
      for await (const _ of readMember(place, { entry, member }, context)) context.signal.throwIfAborted()
    }
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    const wasProtected = held.isProtected && process.longestPauseMs < minuteMs
    if (wasProtected) site.complaints.push(`loading ${entry.label}: ${error.message}`)
  }
}

/** Reads everything that a listed backup consists of, slowly. Complains when something is missing under its lease. */
export async function restore(site: SimulatedCluster, { place, context, process }: Tools): Promise<void> {
  const { repository, cluster } = place
  await using held = await holdRestoreLease(place, context)
  const { signal } = context
  const { backups } = await readCatalogue(repository, cluster.id, context)
  const chosen = backups[site.random(Math.max(1, backups.length))]
  if (chosen === undefined) return
  const missing: string[] = []
  const require = async (what: string, isThere: Promise<boolean>): Promise<void> => {
    if (!(await isThere)) missing.push(what)
    signal.throwIfAborted()
    if (site.random(2) === 0) await context.clock.sleep(site.random(10 * minuteMs), signal)
  }
  try {
    const head = await readManifestHead(repository, { clusterId: cluster.id, ...chosen }, context)
    for (const pack of head.packs) {
      const key = packKey(cluster.id, pack)
      await require(key, repository.store.head(key).then((found) => found !== undefined))
    }
    const size = BigInt(cluster.walSegmentSize)
    for (let number = chosen.startLsn / size; number <= chosen.stopLsn / size; number += 1n) {
      // As archive-get does: by name, which no lagging listing can hide.
      const key = segmentKey(place, Number(number))
      await require(key, repository.store.head(key).then((found) => found !== undefined))
    }
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    missing.push(error.message)
  }
  // Whoever stood still for a minute has lost its lease and may not know it yet.
  const wasProtected = held.isProtected && process.longestPauseMs < minuteMs
  if (missing.length > 0 && wasProtected)
    site.complaints.push(`a restore of ${chosen.label} lacked ${missing.join(', ')}`)
}

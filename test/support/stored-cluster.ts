import { classifyArchiveFileName } from '../../src/domain/archive-file-name.ts'
import { parseBackupLabel, type BackupLabel } from '../../src/domain/backup-label.ts'
import { toLsn } from '../../src/domain/lsn.ts'
import type { RunContext } from '../../src/domain/run-context.ts'
import { parseTargetTime } from '../../src/domain/target-time.ts'
import { toTimelineId } from '../../src/domain/timeline.ts'
import { segmentNameOf } from '../../src/domain/wal-segment.ts'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { walIndexKey, type WalIndexName } from '../../src/archive/wal-index-key.ts'
import { walObjectKey } from '../../src/archive/wal-object-key.ts'
import type { BackupEntry } from '../../src/repository/backup-entry.ts'
import { changeCatalogue } from '../../src/repository/catalogue.ts'
import { ManifestWriter } from '../../src/repository/manifest-writer.ts'
import { packKey, type PackName } from '../../src/repository/object-keys.ts'
import { sampleHead } from './repository-samples.ts'

const allowed = (): Promise<void> => Promise.resolve()

/** A backup in terms of whole WAL segments: it starts and stops in the middle of one. */
export interface StoredBackup {
  readonly label: string
  readonly timeline?: number
  readonly firstSegment: number
  readonly lastSegment: number
  /** Which packs its manifest refers to: its own by number, or older ones. Default: its own pack 1. */
  readonly packs?: readonly PackName[]
}

/** What the catalogue would say of it, but for its manifest's digest. */
function describeStored(
  { cluster }: ArchivePlace,
  { label, timeline = 1, firstSegment, lastSegment }: StoredBackup,
): Omit<BackupEntry, 'manifestDigest'> {
  const at = (segment: number, offset: number) =>
    toLsn(BigInt(segment) * BigInt(cluster.walSegmentSize) + BigInt(offset))
  const startedAt = labelTime(label)
  return {
    ...sampleHead().backup,
    label: parseBackupLabel(label),
    timeline: toTimelineId(timeline),
    startLsn: at(firstSegment, 40),
    stopLsn: at(lastSegment, 800),
    startedAt,
    stoppedAt: startedAt,
  }
}

function labelTime(label: string) {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)/.exec(label) ?? []
  return parseTargetTime(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}

/** Stores packs of a few bytes, whose contents nobody can read. */
export async function storePacks(
  { repository, cluster }: ArchivePlace,
  packs: readonly PackName[],
  context: RunContext,
): Promise<void> {
  for (const pack of packs)
    await repository.store.putIfAbsent(packKey(cluster.id, pack), Buffer.from(`pack ${pack.number}`), context)
}

/** Stores the manifest of a backup and gives its catalogue entry, which is not listed yet. */
export async function storeBackupManifest(
  place: ArchivePlace,
  backup: StoredBackup,
  context: RunContext,
): Promise<BackupEntry> {
  const { repository, cluster } = place
  const described = describeStored(place, backup)
  const packs = backup.packs ?? [{ label: described.label, number: 1 }]
  const { label, revision } = described
  const manifest = new ManifestWriter(repository, { clusterId: cluster.id, label, revision }, context)
  const { digest } = await manifest.finish(
    sampleHead({
      backup: described,
      packs: packs.map(({ label: writer, number }) => ({
        label: writer,
        number,
        sizeBytes: 6,
        liveBytes: 6,
        rawBytes: 6,
        indexTag: new Uint8Array(16),
      })),
    }),
  )
  return { ...described, manifestDigest: digest }
}

/** Stores a backup's own packs and its manifest, and lists it. */
export async function storeBackup(
  place: ArchivePlace,
  backup: StoredBackup,
  context: RunContext,
): Promise<BackupLabel> {
  const label = parseBackupLabel(backup.label)
  const packs = backup.packs ?? [{ label, number: 1 }]
  await storePacks(
    place,
    packs.filter((pack) => pack.label === label),
    context,
  )
  const entry = await storeBackupManifest(place, backup, context)
  const change = { kind: 'publish', backup: entry } as const
  const { repository, cluster } = place
  await changeCatalogue(repository, { clusterId: cluster.id, change, confirm: allowed }, context)
  return label
}

/** The key under which `storeWal` stores a segment. */
export function storedWalKey(place: ArchivePlace, timeline: number, number: number): string {
  return walObjectKey(place.cluster.id, { ...storedContent(place, timeline, number), part: 0 })
}

/** Of the index of that segment, which `storeWal` does not store. */
export function storedIndexKey(place: ArchivePlace, timeline: number, number: number): string {
  return walIndexKey(place.cluster.id, storedContent(place, timeline, number))
}

function storedContent({ cluster }: ArchivePlace, timeline: number, number: number): WalIndexName {
  const name = classifyArchiveFileName(
    segmentNameOf(toTimelineId(timeline), BigInt(number), cluster.walSegmentSize),
  )
  if (name === undefined) throw new Error(`no segment ${number}`)
  return { name, digest: 'ab'.repeat(16) }
}

/** Stores segments by name only: what is in them cannot be read. */
export async function storeWal(
  place: ArchivePlace,
  { timeline = 1, from, to }: { readonly timeline?: number; readonly from: number; readonly to: number },
  context: RunContext,
): Promise<void> {
  for (let number = from; number <= to; number += 1)
    await place.repository.store.putIfAbsent(
      storedWalKey(place, timeline, number),
      Buffer.from('wal'),
      context,
    )
}

/** Every key that begins with this, without what comes before it. */
export async function listKeys(
  { repository, cluster }: ArchivePlace,
  folder: string,
): Promise<readonly string[]> {
  const keys: string[] = []
  const prefix = `${cluster.id}/${folder}/`
  for await (const { key } of repository.store.list(prefix)) keys.push(key.slice(prefix.length))
  return keys
}

import assert from 'node:assert/strict'
import { createPageKernel } from '../src/codec/page-kernel.ts'
import { keyedDigest } from '../src/codec/keyed-digest.ts'
import type { ArchivePlace } from '../src/archive/archive-place.ts'
import { encodeWalObjectHead } from '../src/archive/wal-object-head.ts'
import { packPayload } from '../src/codec/compression.ts'
import { createObjectSealer } from '../src/codec/sealed-object.ts'
import { parseArchiveFileName } from '../src/domain/archive-file-name.ts'
import { walObjectKey } from '../src/archive/wal-object-key.ts'
import { parseBackupLabel, type BackupLabel } from '../src/domain/backup-label.ts'
import { toLsn, type Lsn } from '../src/domain/lsn.ts'
import type { RunContext, RunEvent } from '../src/domain/run-context.ts'
import { parseTargetTime } from '../src/domain/target-time.ts'
import { toTimelineId } from '../src/domain/timeline.ts'
import { segmentNameOf, toWalSegmentSize } from '../src/domain/wal-segment.ts'
import { systemClock } from '../src/platform/system-clock.ts'
import { changeCatalogue, type CatalogueChange } from '../src/repository/catalogue.ts'
import type { FileEntry } from '../src/repository/manifest-entry.ts'
import { ManifestWriter, type WrittenPack } from '../src/repository/manifest-writer.ts'
import { manifestKey, manifestPartKey, packKey } from '../src/repository/object-keys.ts'
import { hashCountOf } from '../src/repository/pack-index.ts'
import { writeObject } from '../src/repository/sealed-store.ts'
import { createPlace, recordingContext, testSystemIdentifier } from './support/archive-fixture.ts'
import { bytesOf, sampleFile, sampleHead, type SampleUnit } from './support/repository-samples.ts'
import { buildPack } from './support/sample-packs.ts'
import { mainData, WalBuilder } from './support/wal-builder.ts'

export const mebibyte = 1024 * 1024
export const monday = parseBackupLabel('20260216-153000F')
export const tuesday = parseBackupLabel('20260217-153000F')
const timeline = toTimelineId(1)
export const segmentName = (number: number): string =>
  segmentNameOf(timeline, BigInt(number), toWalSegmentSize(mebibyte))

/** A context that remembers what was reported, with a clock that the test moves. */
export interface SiteContext extends RunContext {
  readonly events: RunEvent[]
  readonly time: { nowMs: number }
}

export function siteContext(signal?: AbortSignal): SiteContext {
  const time = { nowMs: Date.parse('2026-02-20T12:00:00Z') }
  const now = (): number => time.nowMs
  return { ...recordingContext(signal), time, clock: { ...systemClock, now } }
}

/** Segments 1 to `count` of timeline 1, with records of one size across every border. */
export function buildWal(count: number, recordBytes = 30_000): readonly Uint8Array[] {
  const record = { rmid: 21, body: mainData(Buffer.alloc(recordBytes, 'wal')) }
  const builder = new WalBuilder({ systemIdentifier: BigInt(testSystemIdentifier) })
  while (builder.segments.length <= count) builder.append(record)
  return builder.segments.slice(0, count).map(({ bytes }) => bytes)
}

/** In one object, as docs/formats/wal-archive.md says. */
export async function archiveSegment(
  { repository, cluster }: ArchivePlace,
  name: string,
  content: Uint8Array,
): Promise<string> {
  const { sealing, namesKey } = repository.keys
  const digest = keyedDigest(namesKey, bytesOf(name), content)
  const key = walObjectKey(cluster.id, { name: parseArchiveFileName(name), digest, part: 0 })
  const sealer = createObjectSealer({ keys: sealing, kind: 'wal-part', key })
  const head = encodeWalObjectHead({ contentBytes: content.length, parts: [] })
  const sealed = Buffer.concat([
    sealer.header,
    ...sealer.sealFrame(packPayload(head, 0), false),
    ...sealer.sealFrame(packPayload(content, 1), true),
  ])
  await repository.store.putIfAbsent(key, sealed)
  return key
}

export async function archiveHistory(
  { repository, cluster }: ArchivePlace,
  fileName: string,
  text: string,
): Promise<string> {
  const content = bytesOf(text)
  const digest = keyedDigest(repository.keys.namesKey, bytesOf(fileName), content)
  const key = walObjectKey(cluster.id, { name: parseArchiveFileName(fileName), digest, part: 0 })
  const name = { kind: 'history-file', key } as const
  await writeObject(repository, { name, payload: content }, recordingContext())
  return key
}

/** Stores a pack of one unit for each text, and gives what a manifest says of it. */
export async function storePack(
  { repository, cluster }: ArchivePlace,
  { label, number, units }: { label: BackupLabel; number: number; units: readonly string[] },
): Promise<WrittenPack> {
  const key = packKey(cluster.id, { label, number })
  const sealed = buildPack(
    units.map((text) => unitOf(Buffer.from(text), repository.keys.blockHashSeed)),
    { keys: repository.keys.sealing, key },
  )
  assert.equal(await repository.store.putIfAbsent(key, sealed.bytes), 'created')
  return { label, number, sizeBytes: sealed.sizeBytes, indexTag: sealed.indexTag }
}

function unitOf(raw: Uint8Array, seed: bigint): SampleUnit {
  const kernel = createPageKernel({ seed })
  kernel.input.set(raw)
  const blockHashes = new BigUint64Array(hashCountOf(raw.length))
  kernel.hashBlocks({ offset: 0, length: raw.length }, blockHashes)
  return { raw, pieces: [{ root: 0, path: bytesOf('file'), offset: 0, length: raw.length, blockHashes }] }
}

interface BackupShape {
  readonly label: BackupLabel
  readonly packs: readonly WrittenPack[]
  /** In segments of the test WAL, with fractions. */
  readonly from: number
  readonly to: number
  readonly time: string
  /** Of the one file, which begins in unit 0 of each pack. */
  readonly lengths?: readonly number[]
  readonly unit?: number
}

const lsnAt = (segments: number): Lsn => toLsn(BigInt(Math.round(segments * mebibyte)))

/** Writes the manifest of a backup whose one file has a run in each pack, and lists it. */
export async function listBackup(place: ArchivePlace, shape: BackupShape): Promise<void> {
  const { repository, cluster } = place
  const { label, packs, from, to, time, lengths = packs.map(() => 100), unit = 0 } = shape
  const writer = new ManifestWriter(
    repository,
    { clusterId: cluster.id, label, revision: 1 },
    recordingContext(),
  )
  const extents: FileEntry['extents'] = lengths.map((length, pack) => ({
    length,
    source: { kind: 'unit', pack, unit, offset: 0 },
  }))
  const sizeBytes = lengths.reduce((sum, length) => sum + length, 0)
  await writer.add(sampleFile('file', { sizeBytes, extents }))
  const { backup: sample, ...head } = sampleHead()
  const backup = {
    ...sample,
    label,
    timeline,
    startLsn: lsnAt(from),
    stopLsn: lsnAt(to),
    startedAt: parseTargetTime(`${time}:00Z`),
    stoppedAt: parseTargetTime(`${time}:30Z`),
  }
  const { digest } = await writer.finish({ ...head, backup, packs })
  await change(place, { kind: 'publish', backup: { ...backup, manifestDigest: digest } })
}

export async function change({ repository, cluster }: ArchivePlace, wanted: CatalogueChange): Promise<void> {
  const request = { clusterId: cluster.id, change: wanted, confirm: () => Promise.resolve() }
  await changeCatalogue(repository, request, recordingContext())
}

export interface VerifySite {
  readonly place: ArchivePlace
  readonly mondayPacks: readonly WrittenPack[]
  readonly keys: {
    readonly pack: (label: BackupLabel, number: number) => string
    readonly manifest: (label: BackupLabel) => string
    readonly part: (label: BackupLabel) => string
    readonly segment: (number: number) => string
  }
}

const wal = buildWal(20)

/**
 * Two backups that share the packs of the first, and WAL from the first on: Monday's from segment 2 to 3, Tuesday's from
 * 10 to 11, in 20 segments of 1 MiB.
 */
export async function createVerifySite(options: Parameters<typeof createPlace>[0] = {}): Promise<VerifySite> {
  const place = await createPlace(options)
  const { id } = place.cluster
  const segmentKeys = new Map<number, string>()
  for (const [index, bytes] of wal.entries()) {
    if (index === 0) continue
    const number = index + 1
    segmentKeys.set(number, await archiveSegment(place, segmentName(number), bytes))
  }
  const mondayPacks = [
    await storePack(place, { label: monday, number: 1, units: ['m'.repeat(20_000), 'unit'] }),
    await storePack(place, { label: monday, number: 2, units: ['o'.repeat(10_000)] }),
  ]
  const own = await storePack(place, { label: tuesday, number: 1, units: ['t'.repeat(500)] })
  await listBackup(place, { label: monday, packs: mondayPacks, from: 2.5, to: 3.5, time: '2026-02-16T15:30' })
  const packs = [...mondayPacks.slice(0, 1), own]
  await listBackup(place, { label: tuesday, packs, from: 10.5, to: 11.5, time: '2026-02-17T15:30' })
  return {
    place,
    mondayPacks,
    keys: {
      pack: (label, number) => packKey(id, { label, number }),
      manifest: (label) => manifestKey(id, { label, revision: 1 }),
      part: (label) => manifestPartKey(id, { label, revision: 1 }, 1),
      segment: (number) => segmentKeys.get(number) ?? assert.fail(`there is no segment ${number}`),
    },
  }
}

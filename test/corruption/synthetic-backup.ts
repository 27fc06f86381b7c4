import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { BinaryWriter } from '../../src/codec/binary-writer.ts'
import { keyedDigest } from '../../src/codec/keyed-digest.ts'
import { createPageKernel } from '../../src/codec/page-kernel.ts'
import { sealSingle } from '../../src/codec/sealed-object.ts'
import { parseBackupLabel } from '../../src/domain/backup-label.ts'
import { formatLsn, toLsn } from '../../src/domain/lsn.ts'
import { parseTargetTime } from '../../src/domain/target-time.ts'
import { toTimelineId } from '../../src/domain/timeline.ts'
import { crc32c } from '../../src/platform/crc32c.ts'
import { controlFileBytes } from '../../src/postgres/control-file.ts'
import { changeCatalogue } from '../../src/repository/catalogue.ts'
import type { FileEntry, ManifestEntry } from '../../src/repository/manifest-entry.ts'
import { encodeEntry, newEntryContext } from '../../src/repository/manifest-entry.ts'
import { encodeManifestHead, type ManifestHead } from '../../src/repository/manifest-head.ts'
import { compareEntries } from '../../src/repository/manifest-writer.ts'
import { manifestKey, manifestPartKey, packKey } from '../../src/repository/object-keys.ts'
import { hashCountOf } from '../../src/repository/pack-index.ts'
import { packBufferBytes, PackWriter } from '../../src/repository/pack-writer.ts'
import { recordingContext } from '../support/archive-fixture.ts'

/** A file of a backup that was never taken: everything is as our own writer makes it. */
interface SyntheticFile {
  readonly root?: number
  readonly path: string
  readonly content: Uint8Array
  readonly mode?: number
}

export interface SyntheticBackup {
  readonly label: string
  /** The first segment; start and stop are in it. */
  readonly segment: number
  readonly segmentBytes: number
  readonly files: readonly SyntheticFile[]
  /** Directories, links, and whatever else a manifest can say. */
  readonly entries: readonly ManifestEntry[]
  readonly head?: Partial<ManifestHead>
  /** Changes the entries when they are in order: what a writer that is not ours might do. */
  readonly distort?: (entries: readonly ManifestEntry[]) => readonly ManifestEntry[]
  /** The same for the encoded entries. */
  readonly distortBytes?: (encoded: Uint8Array) => Uint8Array
}

const buffer = new Uint8Array(packBufferBytes)

/** Stores pack, manifest and catalogue entry of a backup. */
export async function storeSyntheticBackup(place: ArchivePlace, backup: SyntheticBackup): Promise<void> {
  const { repository, cluster } = place
  const context = recordingContext()
  const label = parseBackupLabel(backup.label)
  const startLsn = toLsn(BigInt(backup.segment * backup.segmentBytes + 0x28))
  const name = { label, revision: 1 }
  const key = packKey(cluster.id, { label, number: 1 })
  const { files, pack } = packFiles(place, key, backup.files)
  await repository.store.putIfAbsent(key, pack.bytes)
  const entries = [...backup.entries, ...files].toSorted(compareEntries)
  const partKey = manifestPartKey(cluster.id, name, 1)
  const encoded = encodeEntries(backup.distort?.(entries) ?? entries)
  const part = sealSingle(backup.distortBytes?.(encoded) ?? encoded, {
    keys: repository.keys.sealing,
    kind: 'manifest-part',
    key: partKey,
  })
  await repository.store.putIfAbsent(partKey, part)
  const entry = {
    label,
    type: 'full' as const,
    major: cluster.major,
    timeline: toTimelineId(1),
    startLsn,
    stopLsn: toLsn(startLsn + 0x100n),
    startedAt: parseTargetTime('2026-02-20T15:30:00Z'),
    stoppedAt: parseTargetTime('2026-02-20T15:31:00Z'),
    fileCount: files.length,
    restoredBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    storedBytes: pack.bytes.length,
    damagedPageCount: 0,
    revision: 1,
  }
  const payload = encodeManifestHead({
    backup: entry,
    systemIdentifier: cluster.systemIdentifier,
    hasDataChecksums: true,
    walSegmentSize: cluster.walSegmentSize,
    serverVersion: `${cluster.major}.1`,
    backupLabelFile: Buffer.from(`START WAL LOCATION: ${formatLsn(startLsn)} (file x)\n`),
    tablespaceMap: new Uint8Array(),
    tablespaces: [],
    owners: ['postgres:postgres'],
    parts: [{ sizeBytes: part.length, digest: keyedDigest(repository.keys.namesKey, part) }],
    packs: [
      { label, number: 1, sizeBytes: pack.bytes.length, liveBytes: 1, rawBytes: 1, indexTag: pack.indexTag },
    ],
    ...backup.head,
  })
  const headKey = manifestKey(cluster.id, name)
  const head = sealSingle(payload, { keys: repository.keys.sealing, kind: 'manifest', key: headKey })
  await repository.store.putIfAbsent(headKey, head)
  const digest = keyedDigest(repository.keys.namesKey, head)
  const change = { kind: 'publish', backup: { ...entry, manifestDigest: digest } } as const
  await changeCatalogue(
    repository,
    { clusterId: cluster.id, change, confirm: () => Promise.resolve() },
    context,
  )
}

function encodeEntries(entries: readonly ManifestEntry[]): Uint8Array {
  const writer = new BinaryWriter()
  const context = newEntryContext()
  for (const entry of entries) encodeEntry(writer, entry, context)
  return writer.finish()
}

function packFiles(
  { repository }: ArchivePlace,
  key: string,
  files: readonly SyntheticFile[],
): { files: readonly FileEntry[]; pack: { bytes: Uint8Array; indexTag: Uint8Array } } {
  const { sealing, blockHashSeed } = repository.keys
  const writer = new PackWriter({ buffer, keys: sealing, key, compressionLevel: 1 })
  const kernel = createPageKernel({ seed: blockHashSeed })
  const entries = files.map(({ root = 0, path, content, mode = 0o600 }): FileEntry => {
    const { length } = content
    const blockHashes = new BigUint64Array(hashCountOf(length))
    kernel.input.set(content)
    kernel.hashBlocks({ offset: 0, length }, blockHashes)
    const bytes = Buffer.from(path, 'latin1')
    const unit = writer.addUnit(content, [{ root, path: bytes, offset: 0, length, blockHashes }])
    const source = { kind: 'unit', pack: 0, unit, offset: 0 } as const
    const times = { modifiedAtMs: 1_771_601_400_000, damagedBlocks: [] }
    return {
      kind: 'file',
      root,
      path: bytes,
      owner: 0,
      mode,
      sizeBytes: length,
      ...times,
      extents: [{ length, source }],
    }
  })
  const { sizeBytes, indexTag } = writer.finish()
  return { files: entries, pack: { bytes: buffer.slice(0, sizeBytes), indexTag } }
}

export const directory = (path: string, root = 0, mode = 0o700): ManifestEntry => ({
  kind: 'directory',
  root,
  path: Buffer.from(path, 'latin1'),
  owner: 0,
  mode,
})

export const link = (path: string, target: string, root = 0): ManifestEntry => ({
  kind: 'link',
  root,
  path: Buffer.from(path, 'latin1'),
  owner: 0,
  target: Buffer.from(target),
})

/** A control file of PostgreSQL 16 whose checkpoint is nowhere in particular. */
export function controlFileContent(systemIdentifier: string): Buffer {
  const bytes = Buffer.alloc(controlFileBytes)
  bytes.writeBigUInt64LE(BigInt(systemIdentifier), 0)
  bytes.writeUInt32LE(1300, 8)
  bytes.writeUInt32LE(202_307_071, 12)
  bytes.writeUInt32LE(6, 16)
  bytes.writeBigUInt64LE(0x0150_0028n, 32)
  bytes.writeUInt32LE(1, 48)
  bytes.writeUInt32LE(1, 52)
  bytes.writeDoubleLE(1_234_567, 208)
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 288)) >>> 0, 288)
  return bytes
}

/** The files and directories that every restorable backup has. */
export function leastFiles(systemIdentifier: string): Pick<SyntheticBackup, 'files' | 'entries'> {
  const page = Buffer.alloc(24_576, 7)
  for (let offset = 0; offset < page.length; offset += 4) page.writeUInt32LE(offset ^ 0x5a5a, offset)
  return {
    files: [
      { path: 'PG_VERSION', content: Buffer.from('16\n') },
      { path: 'base/1/1259', content: page },
      { path: 'global/pg_control', content: controlFileContent(systemIdentifier) },
      { path: 'pg_hba.conf', content: Buffer.from('local all all trust\n') },
      { path: 'postgresql.conf', content: Buffer.from('port = 5432\n') },
    ],
    entries: ['', 'base', 'base/1', 'global', 'pg_tblspc', 'pg_wal'].map((path) => directory(path)),
  }
}

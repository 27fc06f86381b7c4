import { surveyArchive } from '../archive/archive-inventory.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { parseWalIndexKey } from '../archive/wal-index-key.ts'
import { parseWalObjectKey } from '../archive/wal-object-key.ts'
import { parseArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import type { RunContext } from '../domain/run-context.ts'
import { segmentNameAt } from '../domain/wal-segment.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { Catalogue } from '../repository/catalogue.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { parseNameListKey } from '../repository/name-list-key.ts'
import {
  dumpFolder,
  manifestFolder,
  nameListPrefix,
  packFolder,
  walIndexPrefix,
  walPrefix,
} from '../repository/object-keys.ts'
import { createWalNeed } from './needed-wal.ts'

/**
 * `wal`: archived files, and what is needed as long as a segment is: its index, and a list of the names that were there when
 * it was written.
 */
export type GarbageKind = 'manifest' | 'pack' | 'wal' | 'dump'

/** An object that nothing needs. */
export interface Garbage {
  readonly key: string
  readonly kind: GarbageKind
  readonly sizeBytes: number
  /** When it was stored, by the store's clock. */
  readonly modifiedAtMs: number
}

/** Says of one key whether some listed backup needs it. Keys that it does not know are needed. */
export type IsNeeded = (key: string) => boolean

/**
 * What the backups and dumps of a catalogue need. Throws `damaged` when one of their manifests cannot be read: then nobody knows
 * which packs it refers to, and nothing may be called garbage (R67).
 */
export async function findNeeds(
  { backups, dumps }: Catalogue,
  place: ArchivePlace,
  context: RunContext,
): Promise<IsNeeded> {
  const { cluster } = place
  const isPackNeeded = await findNeededPacks(backups, place, context)
  const revisions = new Map(backups.map(({ label, revision }) => [label as string, revision]))
  const dumpLabels = new Set<string>(dumps.map(({ label }) => label))
  const { histories } = await surveyArchive(place, context)
  const isWalNeeded = createWalNeed({ backups, histories, segmentSize: cluster.walSegmentSize })
  return (key) => {
    const pack = packName.exec(tailOf(key, packFolder(cluster.id)))
    if (pack !== null) return isPackNeeded(pack[1] ?? '', Number(pack[2]))
    const manifest = manifestName.exec(tailOf(key, manifestFolder(cluster.id)))
    if (manifest !== null) return revisions.get(manifest[1] ?? '') === Number(manifest[2])
    const dump = dumpName.exec(tailOf(key, dumpFolder(cluster.id)))
    if (dump !== null) return dumpLabels.has(dump[1] ?? '')
    const file = archivedFileOf(key, place)
    // Without any backup nothing says where the WAL that the first one needs will begin.
    return file === undefined || backups.length === 0 || isWalNeeded(file)
  }
}

/** The archived file that an object is, or belongs to. */
function archivedFileOf(key: string, { cluster }: ArchivePlace): ArchiveFileName | undefined {
  const file = parseWalObjectKey(cluster.id, key) ?? parseWalIndexKey(cluster.id, key)
  if (file !== undefined) return file.name
  const names = parseNameListKey(cluster.id, key)
  return names && parseArchiveFileName(segmentNameAt(names.timeline, names.lsn, cluster.walSegmentSize))
}

const packName = /^(\d{8}-\d{6}[A-Z])\/(\d{6,15})$/
const manifestName = /^(\d{8}-\d{6}[A-Z])\/(\d{4,15})\/(?:manifest|part-\d{4,15})$/
const dumpName = /^(\d{8}-\d{6}[A-Z])\/(?:head|part-\d{6,15})$/

/** What follows the folder; empty for a key that is elsewhere. */
const tailOf = (key: string, folder: string): string =>
  key.startsWith(folder) ? key.slice(folder.length) : ''

/** A bit for each pack: a repository may hold a million. */
async function findNeededPacks(
  backups: readonly ListedBackup[],
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<(label: string, number: number) => boolean> {
  const needed = new Map<string, Uint8Array>()
  for (const backup of backups) {
    const { packs } = await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
    for (const { label, number } of packs) needed.set(label, withBit(needed.get(label), number))
  }
  return (label, number) => ((needed.get(label)?.[number >>> 3] ?? 0) & (1 << (number & 7))) !== 0
}

function withBit(bits: Uint8Array = new Uint8Array(64), number: number): Uint8Array {
  const index = number >>> 3
  let wide = bits
  if (index >= bits.length) {
    wide = new Uint8Array(Math.max(index + 1, 2 * bits.length))
    wide.set(bits)
  }
  wide[index] = (wide[index] ?? 0) | (1 << (number & 7))
  return wide
}

/** Bounds the memory of a sweep; what is beyond waits for the next one. */
const mostGarbage = 200_000

/** Stored objects that are not needed, in the order in which they are to be deleted: heads before what they name. */
export async function listGarbage(
  isNeeded: IsNeeded,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<readonly Garbage[]> {
  const folders = [
    ['manifest', manifestFolder(cluster.id)],
    ['pack', packFolder(cluster.id)],
    ['dump', dumpFolder(cluster.id)],
    ['wal', walPrefix(cluster.id)],
    ['wal', walIndexPrefix(cluster.id)],
    ['wal', nameListPrefix(cluster.id)],
  ] as const
  const garbage: Garbage[] = []
  for (const [kind, folder] of folders) {
    for await (const { key, sizeBytes, modifiedAtMs } of repository.store.list(folder, context))
      if (!isNeeded(key) && garbage.length < mostGarbage) garbage.push({ key, kind, sizeBytes, modifiedAtMs })
  }
  return garbage
}

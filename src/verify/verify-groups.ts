import { parseWalIndexKey } from '../archive/wal-index-key.ts'
import { parseWalObjectKey } from '../archive/wal-object-key.ts'
import { isBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { DumpName } from '../repository/dump-reader.ts'
import {
  dumpPrefix,
  packFolder,
  walIndexPrefix,
  walPrefix,
  type PackName,
} from '../repository/object-keys.ts'

/** Objects that are proven together: so many that what is remembered of them stays small. */
export type Group = PackGroup | WalGroup | HistoryGroup | IndexGroup | DumpGroup

interface CountedGroup {
  readonly id: string
  objects: number
  bytes: number
}

/** Up to 16 packs of one backup, neighbours by number. */
export interface PackGroup extends CountedGroup {
  readonly kind: 'packs'
  readonly label: BackupLabel
  /** Ascending, with the size of each beside it. */
  readonly numbers: number[]
  readonly sizes: number[]
}

/** All that is archived under up to 16 neighbouring segment names: those that differ in the last digit. */
export interface WalGroup extends CountedGroup {
  readonly kind: 'wal'
  readonly timeline: TimelineId
  /** What the names begin with: 23 digits. */
  readonly stem: string
}

/** All history files. */
interface HistoryGroup extends CountedGroup {
  readonly kind: 'histories'
}

/** The indexes of segments whose names agree in their first 16 digits: up to 4 GiB of WAL. */
export interface IndexGroup extends CountedGroup {
  readonly kind: 'indexes'
  /** Where they are. */
  readonly folder: string
}

/** All objects of one listed dump: its members are proven from their first byte to their last. */
export interface DumpGroup extends CountedGroup {
  readonly kind: 'dumps'
  readonly dump: DumpName
}

/** Everything of a cluster that is proven by groups, as a listing tells. */
export interface StoredGroups {
  readonly groups: ReadonlyMap<string, Group>
  /** Objects in the folders of packs, WAL and its indexes that this version does not know. */
  readonly unknownObjects: number
}

export const packsPerGroup = 16
const stemLength = 23
export const historyGroupId = 'histories'

export const packGroupId = ({ label, number }: PackName): string =>
  `packs/${label}/${Math.floor((number - 1) / packsPerGroup)}`

export const dumpGroupId = (label: BackupLabel): string => `dumps/${label}`

/** Of the segment with this name, or of a file that is named after it. */
export const walGroupId = (segmentName: string): string => `wal/${segmentName.slice(0, stemLength)}`

/** Lists packs, WAL and its indexes, and the objects of listed dumps. Memory grows with a few bytes for each pack, and with one group for 16 segments. */
export async function listGroups(
  dumps: readonly DumpName[],
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<StoredGroups> {
  const groups = new Map<string, Group>()
  let unknownObjects = 0
  const folder = packFolder(cluster.id)
  for await (const { key, sizeBytes } of repository.store.list(folder, context)) {
    const name = parsePackName(key.slice(folder.length))
    if (name === undefined) unknownObjects += 1
    else addPack(groups, name, sizeBytes)
  }
  for await (const { key, sizeBytes } of repository.store.list(walPrefix(cluster.id), context)) {
    const object = parseWalObjectKey(cluster.id, key)
    if (object === undefined) unknownObjects += 1
    else addArchived(groups, object.name, sizeBytes)
  }
  for await (const { key, sizeBytes } of repository.store.list(walIndexPrefix(cluster.id), context)) {
    if (parseWalIndexKey(cluster.id, key) === undefined) unknownObjects += 1
    else addIndex(groups, key, sizeBytes)
  }
  for (const dump of dumps) {
    const id = dumpGroupId(dump.label)
    const group: DumpGroup = { kind: 'dumps', id, dump, objects: 0, bytes: 0 }
    // Also when nothing of it is there: it is listed.
    groups.set(id, group)
    const prefix = dumpPrefix(cluster.id, dump.label)
    for await (const { sizeBytes } of repository.store.list(prefix, context)) count(group, sizeBytes)
  }
  return { groups, unknownObjects }
}

function parsePackName(path: string): PackName | undefined {
  const [, label = '', number = ''] = /^([^/]+)\/(\d{6,9})$/.exec(path) ?? []
  return isBackupLabel(label) && Number(number) > 0 ? { label, number: Number(number) } : undefined
}

function addPack(groups: Map<string, Group>, name: PackName, sizeBytes: number): void {
  const id = packGroupId(name)
  let group = groups.get(id)
  if (group?.kind !== 'packs') {
    group = { kind: 'packs', id, label: name.label, objects: 0, bytes: 0, numbers: [], sizes: [] }
    groups.set(id, group)
  }
  group.numbers.push(name.number)
  group.sizes.push(sizeBytes)
  count(group, sizeBytes)
}

function addArchived(
  groups: Map<string, Group>,
  { kind, name, timeline }: { readonly kind: string; readonly name: string; readonly timeline: TimelineId },
  sizeBytes: number,
): void {
  const id = kind === 'history' ? historyGroupId : walGroupId(name)
  let group = groups.get(id)
  if (group === undefined) {
    group =
      kind === 'history'
        ? { kind: 'histories', id, objects: 0, bytes: 0 }
        : { kind: 'wal', id, timeline, stem: name.slice(0, stemLength), objects: 0, bytes: 0 }
    groups.set(id, group)
  }
  count(group, sizeBytes)
}

function addIndex(groups: Map<string, Group>, key: string, sizeBytes: number): void {
  const folder = key.slice(0, key.lastIndexOf('/') + 1)
  const [timeline, log] = folder.split('/').slice(-3)
  const id = `index/${timeline}${log}`
  const group = groups.get(id) ?? { kind: 'indexes', id, folder, objects: 0, bytes: 0 }
  groups.set(id, group)
  count(group, sizeBytes)
}

function count(group: CountedGroup, sizeBytes: number): void {
  group.objects += 1
  group.bytes += sizeBytes
}

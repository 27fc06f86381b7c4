import type { BackupLabel } from '../domain/backup-label.ts'

/** The object that makes a store a repository. Written last when a repository is created. */
export const repositoryHeaderKey = 'holdfast'

/** Where the key slots are. One object a slot, so that a slot is added or removed without touching another. */
export const keySlotPrefix = 'keys/'

/** Where the cluster records are. */
export const clusterRecordPrefix = 'clusters/'

const pad = (value: number, digits: number): string => value.toString().padStart(digits, '0')

export const keySlotKey = (slotId: string): string => `${keySlotPrefix}${slotId}`

/** A cluster's record is revised by writing the next number; the highest one counts. */
export const clusterRecordKey = (clusterId: string, revision: number): string =>
  `${clusterRecordPrefix}${clusterId}/${pad(revision, 4)}`

export const catalogPrefix = (clusterId: string): string => `${clusterId}/catalog/`

export const catalogKey = (clusterId: string, number: number): string =>
  `${catalogPrefix(clusterId)}${pad(number, 10)}`

/** Where the leases of all scopes are. */
export const leaseFolder = (clusterId: string): string => `${clusterId}/lease/`

export const leasePrefix = (clusterId: string, scope: string): string => `${leaseFolder(clusterId)}${scope}/`

/** A lease's token fences; its beats prove that the holder is alive. */
export const leaseKey = (clusterId: string, scope: string, { token, beat }: LeasePosition): string =>
  `${leasePrefix(clusterId, scope)}${pad(token, 10)}.${pad(beat, 8)}`

export interface LeasePosition {
  readonly token: number
  readonly beat: number
}

/** Packs carry the label of the backup that wrote them, also when later backups refer to them. */
export const packKey = (clusterId: string, { label, number }: PackName): string =>
  `${packPrefix(clusterId, label)}${pad(number, 6)}`

export const packPrefix = (clusterId: string, label: BackupLabel): string => `${clusterId}/data/${label}/`

export interface PackName {
  /** The backup that wrote the pack. */
  readonly label: BackupLabel
  /** 1, 2, ... within that backup. */
  readonly number: number
}

/** Where the packs of all backups are. */
export const packFolder = (clusterId: string): string => `${clusterId}/data/`

/** Where the manifests of all backups are. */
export const manifestFolder = (clusterId: string): string => `${clusterId}/backup/`

/** Where the manifests of a backup are, all revisions of them. */
export const manifestPrefix = (clusterId: string, label: BackupLabel): string =>
  `${clusterId}/backup/${label}/`

export const manifestKey = (clusterId: string, { label, revision }: ManifestRevision): string =>
  `${manifestPrefix(clusterId, label)}${pad(revision, 4)}/manifest`

export const manifestPartKey = (
  clusterId: string,
  { label, revision }: ManifestRevision,
  part: number,
): string => `${manifestPrefix(clusterId, label)}${pad(revision, 4)}/part-${pad(part, 4)}`

/** A backup's manifest is never changed: when its data moves to other packs, it gets another one. */
export interface ManifestRevision {
  readonly label: BackupLabel
  /** 1 when the backup is taken. The catalogue says which one counts. */
  readonly revision: number
}

/** Where the dumps are. */
export const dumpFolder = (clusterId: string): string => `${clusterId}/dump/`

export const dumpPrefix = (clusterId: string, label: BackupLabel): string =>
  `${dumpFolder(clusterId)}${label}/`

export const dumpHeadKey = (clusterId: string, label: BackupLabel): string =>
  `${dumpPrefix(clusterId, label)}head`

/** Parts are numbered from 1 within the dump, in the order in which they were begun. */
export const dumpPartKey = (clusterId: string, { label, number }: PackName): string =>
  `${dumpPrefix(clusterId, label)}part-${pad(number, 6)}`

/** Where a cluster's archived WAL is; the layout below it belongs to the archive. */
export const walPrefix = (clusterId: string): string => `${clusterId}/wal/`

/** Where the indexes of archived segments are: one of each content, laid out as the archive. */
export const walIndexPrefix = (clusterId: string): string => `${clusterId}/index/`

/** Where the lists of names are, of what was in the cluster at some moments. */
export const nameListPrefix = (clusterId: string): string => `${clusterId}/names/`

/** What was proven by reading it, and when. The highest number counts. */
export const verifyPrefix = (clusterId: string): string => `${clusterId}/verify/`

export const verifyKey = (clusterId: string, number: number): string =>
  `${verifyPrefix(clusterId)}${pad(number, 10)}`

/** What nothing needs any more, and since when. The highest number counts. */
export const sweepPrefix = (clusterId: string): string => `${clusterId}/sweep/`

export const sweepKey = (clusterId: string, number: number): string =>
  `${sweepPrefix(clusterId)}${pad(number, 10)}`

/** What came of restores that were tried. */
export const drillPrefix = (clusterId: string): string => `${clusterId}/drill/`

export const drillKey = (clusterId: string, number: number): string =>
  `${drillPrefix(clusterId)}${pad(number, 10)}`

/** What came of loads of dumps that were tried. Apart from restores: neither proves the other. */
export const dumpDrillFolder = (clusterId: string): string => `${clusterId}/dump-drill/`

export const dumpDrillPrefix = (clusterId: string, label: BackupLabel): string =>
  `${dumpDrillFolder(clusterId)}${label}/`

export const dumpDrillKey = (clusterId: string, { label, number }: PackName): string =>
  `${dumpDrillPrefix(clusterId, label)}${pad(number, 10)}`

import type {
  BackupDetailsDocument,
  FreshnessListing,
  InfoDocument,
  RepoListing,
  SegmentRange,
  SizesListing,
  WindowListing,
} from '../api/info-document.ts'
import { formatLsn } from '../domain/lsn.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import type { SegmentRun } from '../domain/wal-gaps.ts'
import type { DescribedBackup, DescribedCluster, DescribedRepo } from './describe-cluster.ts'
import { damagedLabels } from '../verify/verify-state.ts'
import type { BackupSizes } from './backup-sizes.ts'
import { listBackup, listDamagedFile } from './list-backup.ts'
import { listIntegrity } from './list-damage.ts'
import { listDrill } from './list-drill.ts'
import { listDump } from './list-dump.ts'
import type { DescribedWindow } from './window-commits.ts'

/** A described cluster as programs are told of it. */
export function listCluster({ name, isLogicalOnly, repos, failures }: DescribedCluster): InfoDocument {
  return {
    version: 1,
    cluster: name,
    isLogicalOnly,
    repos: repos.map(listRepo),
    failures: failures.map(({ error, ...repo }) => ({
      ...repo,
      message: error instanceof Error ? error.message : String(error),
    })),
  }
}

export function listBackupDetails({
  head,
  backup,
  sizes,
  damagedFiles,
  ...place
}: DescribedBackup): BackupDetailsDocument {
  const { systemIdentifier, serverVersion, hasDataChecksums, tablespaces, packs } = head
  return {
    version: 1,
    ...place,
    backup: { ...listBackup(backup), ...listSizes(sizes) },
    systemIdentifier,
    serverVersion,
    hasDataChecksums,
    tablespaces: tablespaces.map(({ oid, name, location }) => ({ oid, name, location: location ?? null })),
    packCount: packs.length,
    damagedFiles: damagedFiles.map(listDamagedFile),
  }
}

function listSizes(sizes: BackupSizes | undefined): SizesListing {
  return { referencedBytes: sizes?.referencedBytes ?? null, freedBytes: sizes?.freedBytes ?? null }
}

function listRepo({
  name,
  location,
  isEncrypted,
  cluster,
  backups,
  dumps,
  inventory,
  age,
  sizes,
  integrity,
  drill,
  ...reach
}: DescribedRepo): RepoListing {
  const damaged = damagedLabels(integrity)
  return {
    name,
    location,
    isEncrypted,
    systemIdentifier: cluster.systemIdentifier,
    postgresMajor: cluster.major,
    walSegmentSizeBytes: cluster.walSegmentSize,
    freshness: listFreshness(age),
    backups: backups.map((backup) => ({
      ...listBackup(backup),
      ...listSizes(sizes?.get(backup.label)),
      isRestorable: !reach.unrestorable.has(backup.label),
      isDamaged: damaged.has(backup.label),
    })),
    dumps: dumps.map((dump) => ({ ...listDump(dump), isDamaged: damaged.has(dump.label) })),
    integrity: listIntegrity(integrity),
    drill: drill === undefined ? null : listDrill(drill),
    windows: reach.windows.map(listWindow),
    wal: {
      storedBytes: inventory.storedBytes,
      timelines: inventory.timelines.map(({ timeline, ranges, gaps, isOriginKnown }) => ({
        timeline,
        ranges: ranges.map(listRange),
        gaps: gaps.map(listRange),
        isOriginKnown,
      })),
      conflicts: inventory.conflicts.map((conflict) => conflict.name.name),
    },
  }
}

function listFreshness({ freshness, writtenAtMs, forgetful }: DescribedRepo['age']): FreshnessListing {
  const isOlder = freshness.kind === 'went-back'
  return {
    state: freshness.kind,
    newestEntryAt: writtenAtMs === undefined ? null : formatInstant(instantFromMs(writtenAtMs)),
    message: isOlder ? freshness.error.message : (forgetful?.message ?? null),
    lostBackups: isOlder ? freshness.lostLabels : [],
  }
}

function listWindow({
  timeline,
  oldest,
  firstCommitAt,
  toLsn,
  toTime,
  hasGap,
}: DescribedWindow): WindowListing {
  return {
    timeline,
    oldestBackup: oldest.label,
    fromTime: formatInstant(oldest.stoppedAt),
    fromLsn: formatLsn(oldest.stopLsn),
    firstCommitAt: firstCommitAt === undefined ? null : formatInstant(firstCommitAt),
    toTime: toTime === undefined ? null : formatInstant(toTime),
    toLsn: toLsn === undefined ? null : formatLsn(toLsn),
    hasGap,
  }
}

function listRange({ first, last, count, startLsn, endLsn }: SegmentRun): SegmentRange {
  return { first, last, count: String(count), startLsn: formatLsn(startLsn), endLsn: formatLsn(endLsn) }
}

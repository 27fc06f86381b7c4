import { waitForWal } from '../archive/wait-for-wal.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { formatPostgresVersion } from '../domain/postgres-version.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import type { StartedBackup, StoppedBackup } from '../postgres/backup-session.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { changeCatalogue } from '../repository/catalogue.ts'
import type { ManifestEntry } from '../repository/manifest-entry.ts'
import { compareEntries, ManifestWriter } from '../repository/manifest-writer.ts'
import type { CopiedCluster } from './copy-cluster.ts'
import type { BackupRequest, BackupTools } from './run-backup.ts'
import { fromBytePath } from './scan.ts'

export interface Publishing {
  readonly request: BackupRequest
  readonly facts: ServerFacts
  readonly label: BackupLabel
  readonly started: StartedBackup
  readonly stopped: StoppedBackup
  readonly copied: CopiedCluster
}

/**
 * Makes a finished copy a backup: waits until all its WAL is in the repository and verified (R18), stores the manifest,
 * and lists it. Until the catalogue entry is written there is no backup. `confirm` proves right before that nobody has
 * taken over.
 */
export async function publishBackup(
  publishing: Publishing,
  { repository, cluster }: BackupTools,
  { context, confirm }: { context: RunContext; confirm: () => Promise<void> },
): Promise<BackupEntry> {
  const { request, label, started, stopped, copied, facts } = publishing
  const { copier, scan, damagedPages } = copied
  context.report({ kind: 'note', message: 'copied; waiting for the WAL of the backup to be archived' })
  await waitForWal(
    {
      timeline: started.timeline,
      fromLsn: started.startLsn,
      toLsn: stopped.stopLsn,
      timeoutMs: request.archiveTimeoutMs,
    },
    { repositories: [{ repository, cluster }] },
    context,
  )
  const manifest = new ManifestWriter(repository, { clusterId: cluster.id, label, revision: 1 }, context)
  const totals = { fileCount: 0, restoredBytes: 0 }
  for (const entry of entriesOf(copied)) {
    await manifest.add(entry)
    if (entry.kind !== 'file') continue
    totals.fileCount += 1
    totals.restoredBytes += entry.sizeBytes
  }
  const backup = {
    label,
    type: 'full',
    revision: 1,
    major: facts.version.major,
    timeline: started.timeline,
    startLsn: started.startLsn,
    stopLsn: stopped.stopLsn,
    startedAt: parseTargetTime(started.startTime),
    stoppedAt: parseTargetTime(stopped.stopTime),
    ...totals,
    storedBytes: copier.storedBytes,
    damagedPageCount: [...damagedPages.values()].reduce((sum, blocks) => sum + blocks.length, 0),
  } as const
  const { digest, storedBytes } = await manifest.finish({
    backup,
    systemIdentifier: facts.systemIdentifier,
    hasDataChecksums: facts.hasDataChecksums,
    walSegmentSize: facts.walSegmentSize,
    serverVersion: formatPostgresVersion(facts.version),
    backupLabelFile: stopped.labelFile,
    tablespaceMap: stopped.tablespaceMap,
    tablespaces: scan.tablespaces,
    owners: scan.owners,
    packs: copier.copied.packTable(),
  })
  const entry: BackupEntry = {
    ...backup,
    storedBytes: backup.storedBytes + storedBytes,
    manifestDigest: digest,
  }
  const change = { kind: 'publish', backup: entry } as const
  await changeCatalogue(repository, { clusterId: cluster.id, change, confirm }, context)
  return entry
}

/** Files, directories and links in the manifest's order. */
function entriesOf({ scan, copier, damagedPages }: CopiedCluster): readonly ManifestEntry[] {
  const directories = scan.directories.map((directory): ManifestEntry => ({
    kind: 'directory',
    ...directory,
    path: fromBytePath(directory.path),
  }))
  const links = scan.links.map((link): ManifestEntry => ({
    kind: 'link',
    ...link,
    path: fromBytePath(link.path),
    target: fromBytePath(link.target),
  }))
  const files = copier.copied.entries(scan.files, damagedPages)
  return [...directories, ...links, ...files].toSorted(compareEntries)
}

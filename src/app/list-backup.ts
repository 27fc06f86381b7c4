import type { BackupListing, DamagedFileListing } from '../api/backup-document.ts'
import { formatLsn } from '../domain/lsn.ts'
import { formatInstant } from '../domain/target-time.ts'
import type { BackupEntry, ListedBackup } from '../repository/backup-entry.ts'
import type { DamagedFile } from './find-damaged-files.ts'

/** A listed backup as programs are told of it: positions and times as text. One that was just taken is not pinned. */
export function listBackup(
  backup: BackupEntry & Partial<Pick<ListedBackup, 'isPinned' | 'walRetention'>>,
): BackupListing {
  return {
    label: backup.label,
    type: backup.type,
    parent: backup.parent ?? null,
    isAudited: backup.isAudited ?? false,
    postgresMajor: backup.major,
    timeline: backup.timeline,
    startLsn: formatLsn(backup.startLsn),
    stopLsn: formatLsn(backup.stopLsn),
    startedAt: formatInstant(backup.startedAt),
    stoppedAt: formatInstant(backup.stoppedAt),
    fileCount: backup.fileCount,
    restoredBytes: backup.restoredBytes,
    storedBytes: backup.storedBytes,
    damagedPageCount: backup.damagedPageCount,
    isPinned: backup.isPinned ?? false,
    walRetention: backup.walRetention ?? 'onward',
  }
}

export function listDamagedFile({ root, path, blocks }: DamagedFile): DamagedFileListing {
  return { tablespace: root, path, blocks }
}

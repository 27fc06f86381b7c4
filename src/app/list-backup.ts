import type { BackupListing, DamagedFileListing } from '../api/backup-document.ts'
import { formatLsn } from '../domain/lsn.ts'
import { formatInstant } from '../domain/target-time.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import type { DamagedFile } from './find-damaged-files.ts'

/** A listed backup as programs are told of it: positions and times as text. */
export function listBackup(backup: BackupEntry): BackupListing {
  return {
    label: backup.label,
    type: backup.type,
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
  }
}

export function listDamagedFile({ root, path, blocks }: DamagedFile): DamagedFileListing {
  return { tablespace: root, path, blocks }
}

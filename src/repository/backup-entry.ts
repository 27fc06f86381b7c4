import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { formatLsn, parseLsn, type Lsn } from '../domain/lsn.ts'
import { formatInstant, parseTargetTime, type Instant } from '../domain/target-time.ts'
import { toTimelineId, type TimelineId } from '../domain/timeline.ts'
import type { RecordReader } from './record.ts'

/** What is said about one backup for good: enough to choose it, not enough to restore it. */
export interface BackupEntry {
  readonly label: BackupLabel
  readonly type: 'full' | 'incr'
  /** The backup whose data this one goes on from. It restores by itself all the same. */
  readonly parent?: BackupLabel
  /** Everything was read, and what the WAL named was proven to be all that had changed. */
  readonly isAudited?: true
  readonly major: number
  readonly timeline: TimelineId
  readonly startLsn: Lsn
  readonly stopLsn: Lsn
  /** The server's clock when the backup began and when it ended. */
  readonly startedAt: Instant
  readonly stoppedAt: Instant
  readonly fileCount: number
  /** What a restore writes, without WAL. */
  readonly restoredBytes: number
  /** What this backup added to the repository. */
  readonly storedBytes: number
  /** Pages whose checksum was wrong twice. Such a backup is kept, reported, and never the only one. */
  readonly damagedPageCount: number
  /** Which of the backup's manifests counts: 1 unless its data was moved to other packs. */
  readonly revision: number
  /** Keyed digest of the manifest's bytes, in hexadecimal: an entry names exactly one manifest. */
  readonly manifestDigest: string
}

/**
 * How much WAL is kept for a backup: all from its start on, so that every moment after it can be reached, or only its
 * own, from its start to its stop, so that it can be restored as it was when it ended.
 */
export type WalRetention = 'onward' | 'own'

/** A backup as the catalogue lists it: with what was decided about it since. */
export interface ListedBackup extends BackupEntry {
  /** Kept whatever the rules say, until it is unpinned. */
  readonly isPinned: boolean
  readonly walRetention: WalRetention
}

export function encodeListedBackup({
  isPinned,
  walRetention,
  ...entry
}: ListedBackup): Record<string, unknown> {
  return { ...encodeBackupEntry(entry), isPinned, walRetention }
}

export function decodeListedBackup(reader: RecordReader): ListedBackup {
  return {
    ...decodeBackupEntry(reader),
    isPinned: reader.has('isPinned') && reader.boolean('isPinned'),
    walRetention: reader.has('walRetention') ? reader.word('walRetention', ['onward', 'own']) : 'onward',
  }
}

export function encodeBackupEntry(entry: BackupEntry): Record<string, unknown> {
  return {
    ...entry,
    startLsn: formatLsn(entry.startLsn),
    stopLsn: formatLsn(entry.stopLsn),
    startedAt: formatInstant(entry.startedAt),
    stoppedAt: formatInstant(entry.stoppedAt),
  }
}

export function decodeBackupEntry(reader: RecordReader): BackupEntry {
  return {
    label: reader.parsed('label', parseBackupLabel),
    type: reader.word('type', ['full', 'incr']),
    ...(reader.has('parent') ? { parent: reader.parsed('parent', parseBackupLabel) } : {}),
    ...(reader.has('isAudited') && reader.boolean('isAudited') ? { isAudited: true as const } : {}),
    major: reader.count('major'),
    timeline: reader.parsedCount('timeline', toTimelineId),
    startLsn: reader.parsed('startLsn', parseLsn),
    stopLsn: reader.parsed('stopLsn', parseLsn),
    startedAt: reader.parsed('startedAt', parseTargetTime),
    stoppedAt: reader.parsed('stoppedAt', parseTargetTime),
    fileCount: reader.count('fileCount'),
    restoredBytes: reader.count('restoredBytes'),
    storedBytes: reader.count('storedBytes'),
    damagedPageCount: reader.count('damagedPageCount'),
    revision: reader.count('revision'),
    manifestDigest: reader.string('manifestDigest'),
  }
}

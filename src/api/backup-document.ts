import type { JsonDocument } from './json-document.ts'

/** One listed backup, in `info` and as the answer of `backup`. */
export interface BackupListing {
  readonly label: string
  readonly type: 'full' | 'incr'
  /** The backup that an incremental went on from; null for a full one. Neither needs the other to be restored. */
  readonly parent: string | null
  /** Everything was read, and what the WAL named was proven to be all that had changed. */
  readonly isAudited: boolean
  readonly postgresMajor: number
  readonly timeline: number
  readonly startLsn: string
  readonly stopLsn: string
  readonly startedAt: string
  readonly stoppedAt: string
  readonly fileCount: number
  /** What a restore writes, without WAL. */
  readonly restoredBytes: number
  /** What this backup added to the repository. */
  readonly storedBytes: number
  readonly damagedPageCount: number
  /** Kept whatever the keep rules say. */
  readonly isPinned: boolean
  /** `own`: only the WAL from its start to its stop is kept, so that it can be restored to its end only. */
  readonly walRetention: 'onward' | 'own'
}

/** A file of a backup in which pages had wrong checksums. */
export interface DamagedFileListing {
  /** OID of the tablespace; 0 for the data directory. */
  readonly tablespace: number
  /** Relative to the data directory, or to the tablespace. */
  readonly path: string
  /** Numbers of the blocks in this file. */
  readonly blocks: readonly number[]
}

/** The answer of `backup`. */
export interface BackupDocument extends JsonDocument {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly backup: BackupListing
  readonly durationMs: number
  readonly damagedFiles: readonly DamagedFileListing[]
  /** Why the incremental backup that was begun was given up for a full one; null when there was no such reason. */
  readonly auditFailure: string | null
  /** The other repositories of the cluster; none when the repository was named. */
  readonly copies: readonly CopyListing[]
}

/** Another repository that a backup or a dump was to be copied to. */
export interface CopyListing {
  readonly repo: string
  /** Null when it could not be opened. */
  readonly location: string | null
  /** What was still lacking there when the backup, or the dump, was complete. */
  readonly storedBytes: number
  /** Why it does not have it; null when it has. */
  readonly failure: string | null
}

/** The answer of `backup --dry-run`. */
export interface BackupPlanDocument extends JsonDocument {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly type: 'full' | 'incr'
  /** What an incremental would go on from. */
  readonly parent: string | null
  readonly isAudit: boolean
  readonly dataDirectory: string
  readonly serverVersion: string
  readonly fileCount: number
  readonly totalBytes: number
  readonly tablespaceCount: number
  /** Free in the file system of the repository; null when it is in no file system. */
  readonly freeBytes: number | null
}

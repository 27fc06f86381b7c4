import type { BackupListing, DamagedFileListing } from './backup-document.ts'
import type { JsonDocument } from './json-document.ts'

/** The answer of `info`. */
export interface InfoDocument extends JsonDocument {
  readonly cluster: string
  readonly repos: readonly RepoListing[]
  /** Repositories that could not be read. */
  readonly failures: readonly { readonly name: string; readonly location: string; readonly message: string }[]
}

export interface RepoListing {
  readonly name: string
  readonly location: string
  readonly isEncrypted: boolean
  readonly systemIdentifier: string
  readonly postgresMajor: number
  readonly walSegmentSizeBytes: number
  /** Oldest first. `isRestorable`: false when WAL that it needs is missing. */
  readonly backups: readonly (BackupListing & { readonly isRestorable: boolean })[]
  readonly windows: readonly WindowListing[]
  readonly wal: WalListing
}

/** Moments that can be reached. */
export interface WindowListing {
  readonly timeline: number
  readonly oldestBackup: string
  readonly fromTime: string
  readonly fromLsn: string
  /** The newest commit in the newest WAL; null when it holds none. */
  readonly toTime: string | null
  /** The end of the last whole record; null when it could not be read. */
  readonly toLsn: string | null
  /** True: there is WAL behind a hole that ends this window. */
  readonly hasGap: boolean
}

interface WalListing {
  readonly storedBytes: number
  readonly timelines: readonly {
    readonly timeline: number
    readonly ranges: readonly SegmentRange[]
    /** Missing between existing ones. */
    readonly gaps: readonly SegmentRange[]
    /** False: its history file is not archived. */
    readonly isOriginKnown: boolean
  }[]
  /** Names under which several contents are archived. */
  readonly conflicts: readonly string[]
}

export interface SegmentRange {
  readonly first: string
  readonly last: string
  readonly count: string
  readonly startLsn: string
  readonly endLsn: string
}

/** The answer of `info LABEL`. */
export interface BackupDetailsDocument extends JsonDocument {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly backup: BackupListing
  readonly systemIdentifier: string
  readonly serverVersion: string
  readonly hasDataChecksums: boolean
  readonly tablespaces: readonly {
    readonly oid: number
    readonly name: string
    readonly location: string | null
  }[]
  readonly packCount: number
  readonly damagedFiles: readonly DamagedFileListing[]
}

import type { DrillListing } from './drill-document.ts'
import type { DumpListing } from './dump-document.ts'
import type { BackupListing, DamagedFileListing } from './backup-document.ts'
import type { JsonDocument } from './json-document.ts'
import type { IntegrityListing } from './verify-document.ts'

/** The answer of `info`. */
export interface InfoDocument extends JsonDocument {
  readonly cluster: string
  /** True: dumps are all that there is to be, so that nothing is missing without backups and WAL. */
  readonly isLogicalOnly: boolean
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
  readonly freshness: FreshnessListing
  /** Oldest first. `isRestorable`: false when WAL that it needs is missing. */
  readonly backups: readonly (BackupListing &
    SizesListing & {
      readonly isRestorable: boolean
      /** True: verify has found something damaged without which it cannot be restored. */
      readonly isDamaged: boolean
    })[]
  /** Oldest first. `isDamaged`: verify found that something of it cannot be read. */
  readonly dumps: readonly (DumpListing & { readonly isDamaged: boolean })[]
  readonly integrity: IntegrityListing
  /** The last restore that was tried; null when none was. */
  readonly drill: DrillListing | null
  readonly windows: readonly WindowListing[]
  readonly wal: WalListing
}

/** What a backup takes in a repository that it shares with others; null when the manifest of some backup cannot be read. */
export interface SizesListing {
  /** Of all packs that a restore of it reads, whichever backup wrote them. */
  readonly referencedBytes: number | null
  /** Of the packs that no other backup refers to: what deleting it would free, beside WAL. */
  readonly freedBytes: number | null
}

/** Whether the catalogue may be an older copy of itself, held against what this host has seen. */
export interface FreshnessListing {
  /** `first-seen`: nothing to hold against yet. `pruned`: what this host has seen is too long ago to tell. `went-back`: it is older than what this host has seen, or another one. `past`: asked for as it was, with `--repo-as-of`. */
  readonly state: 'proven' | 'first-seen' | 'empty' | 'pruned' | 'went-back' | 'past'
  /** When the newest entry was written; null when there is none. */
  readonly newestEntryAt: string | null
  /** What is wrong; null when nothing is. */
  readonly message: string | null
  /** Backups that this host has seen listed and that are not any more, when it went back. */
  readonly lostBackups: readonly string[]
}

/** Moments that can be reached. */
export interface WindowListing {
  readonly timeline: number
  readonly oldestBackup: string
  readonly fromTime: string
  readonly fromLsn: string
  /** The first commit behind that; null when the first WAL holds none. */
  readonly firstCommitAt: string | null
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
  readonly backup: BackupListing & SizesListing
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

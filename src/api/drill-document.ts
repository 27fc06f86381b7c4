import type { JsonDocument } from './json-document.ts'

/** The answer of `drill`. */
export interface DrillDocument extends JsonDocument, DrillListing {}

/** A restore that was tried. */
export interface DrillListing {
  readonly beganAt: string
  readonly outcome: 'passed' | 'failed' | 'not-proven'
  readonly target: string
  readonly backup: string | null
  readonly reachedLsn: string | null
  /** Of the last commit that was recovered, and of the last one that is archived. */
  readonly lastCommitAt: string | null
  readonly archivedCommitAt: string | null
  readonly checks: readonly DrillCheckListing[]
  readonly filesMs: number
  readonly recoveryMs: number
  readonly checkMs: number
  readonly writtenBytes: number
  /** WAL from the beginning of the backup to where the recovery ended. */
  readonly replayedBytes: number
}

interface DrillCheckListing {
  readonly name: string
  readonly state: 'passed' | 'failed' | 'not-proven'
  readonly message: string
  readonly findings: readonly string[]
}

/** The answer of `drill --dump`. */
export interface DumpDrillDocument extends JsonDocument, DumpDrillListing {}

/** A load of a dump that was tried. */
export interface DumpDrillListing {
  readonly beganAt: string
  readonly outcome: 'passed' | 'failed' | 'not-proven'
  readonly dump: string
  /** Of the server that it was loaded into; null: it did not come so far. */
  readonly serverVersion: string | null
  readonly checks: readonly DrillCheckListing[]
  /** Those that could be loaded. */
  readonly databases: readonly {
    readonly database: string
    readonly rawBytes: number
    readonly tables: number
    readonly rows: number
    readonly loadMs: number
  }[]
  readonly loadMs: number
  readonly checkMs: number
}

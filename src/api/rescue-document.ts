import type { JsonDocument } from './json-document.ts'

/** The answer of `rescue`. */
export interface RescueDocument extends JsonDocument {
  readonly database: string
  /** The SQL script that was written instead; null when the tables are in the database. */
  readonly file: string | null
  readonly backup: string
  readonly reachedLsn: string
  readonly lastCommitAt: string | null
  readonly tables: readonly RescuedListing[]
  /** Null: "--fast" was not asked for. */
  readonly fast: FastListing | null
  readonly filesMs: number
  readonly recoveryMs: number
  readonly copyMs: number
  /** From the beginning of the command to the last row. */
  readonly totalMs: number
}

/** What was restored of the backup, without WAL. */
export interface FastListing {
  readonly used: boolean
  /** Why everything was restored after all; null when it was not. */
  readonly reason: string | null
  readonly restoredBytes: number
  readonly leftOutBytes: number
}

interface RescuedListing {
  readonly from: string
  readonly to: string
  readonly rows: string
  readonly bytes: number
  readonly brokenForeignKeys: readonly { readonly name: string; readonly reason: string }[]
}

import type { JsonDocument } from './json-document.ts'

/** The answer of `at`, when the server is there. */
export interface AtDocument extends JsonDocument {
  /** A libpq connection string. */
  readonly connection: string
  readonly backup: string
  readonly timeline: number
  readonly reachedLsn: string
  /** Of the last commit that is there; null when there is none behind the backup. */
  readonly lastCommitAt: string | null
  /** When the server is removed. */
  readonly keptUntil: string
  readonly filesMs: number
  readonly recoveryMs: number
}

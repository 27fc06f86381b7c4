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
  /** False: it runs in a network namespace of its own, and reaches nobody whatever is asked of it. */
  readonly hasNetwork: boolean
  readonly filesMs: number
  readonly recoveryMs: number
}

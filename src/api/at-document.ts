import type { JsonDocument } from './json-document.ts'

/** The answer of `at`, when the server is there. */
export interface AtDocument extends JsonDocument {
  /** A libpq connection string. */
  readonly connection: string
  /** The folder that holds it, for `--advance`. */
  readonly sandbox: string
  /** True: it has stayed in recovery, and can go on to a later target. */
  readonly isPaused: boolean
  readonly backup: string
  readonly timeline: number
  readonly reachedLsn: string
  /** Of the last commit that is there; null when there is none behind the backup. */
  readonly lastCommitAt: string | null
  /** When the server is removed. */
  readonly keptUntil: string
  /** False: it runs in a network namespace of its own, and reaches nobody whatever is asked of it. */
  readonly hasNetwork: boolean
  /** How long it took to come here: files that were restored, and recovery. */
  readonly filesMs: number
  readonly recoveryMs: number
}

import type { BackupListing } from './backup-document.ts'
import type { JsonDocument } from './json-document.ts'

/** The answer of `delete`. */
export interface DeleteDocument extends JsonDocument {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly dryRun: boolean
  readonly backup: BackupListing
  /** Moments that cannot be reached any more without it; `to` null: all behind it. */
  readonly lost: readonly { readonly timeline: number; readonly from: string; readonly to: string | null }[]
  readonly usableBackupsLeft: number
}

/** The answer of `pin` and `unpin`. */
export interface PinDocument extends JsonDocument {
  readonly cluster: string
  readonly repos: readonly { readonly name: string; readonly changed: boolean }[]
  readonly backup: BackupListing
}

import type { JsonDocument } from './json-document.ts'

/** The answer of `check`. */
export interface CheckDocument extends JsonDocument {
  readonly cluster: string
  /** False when an item has failed. */
  readonly isHealthy: boolean
  readonly items: readonly CheckItemListing[]
}

export interface CheckItemListing {
  /** `connection`, `setting wal_level`, `archiving to local`, ... */
  readonly name: string
  /** `info`: nothing to judge. `skipped`: it depends on something that failed. */
  readonly state: 'ok' | 'warning' | 'failed' | 'skipped' | 'info'
  readonly message: string
  readonly hint: string | null
}

import type { JsonDocument } from './json-document.ts'

/** One stream of a dump: the roles and tablespaces, or a database. */
interface DumpMemberListing {
  readonly name: string
  readonly kind: string
  /** Null: it is of no database. */
  readonly database: string | null
  readonly format: string
  /** What the program wrote. */
  readonly rawBytes: number
  readonly storedBytes: number
}

/** The answer of `dump`. */
export interface DumpDocument extends JsonDocument {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly label: string
  readonly startedAt: string
  readonly stoppedAt: string
  readonly rawBytes: number
  readonly storedBytes: number
  readonly members: readonly DumpMemberListing[]
  /** What else is known of it, by name: versions, and the snapshot and the LSNs of each database. */
  readonly facts: Readonly<Record<string, string>>
  readonly durationMs: number
}

/** The answer of `load`. */
export interface LoadDocument extends JsonDocument {
  readonly label: string
  readonly member: string
  /** The database that was loaded into; null: it was written to a file. */
  readonly database: string | null
  readonly file: string | null
  readonly rawBytes: number
  readonly durationMs: number
}

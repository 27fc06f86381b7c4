import type { CopyListing } from './backup-document.ts'
import type { DumpDrillListing } from './drill-document.ts'
import type { JsonDocument } from './json-document.ts'

/** One listed dump, in `info` and as the answer of commands on it. */
export interface DumpListing {
  readonly label: string
  readonly startedAt: string
  readonly stoppedAt: string
  /** The first 50 of those that it has; `databaseCount` says how many there are. */
  readonly databases: readonly string[]
  readonly databaseCount: number
  /** Such as `plain` and `custom`. */
  readonly formats: readonly string[]
  /** What the programs wrote. */
  readonly rawBytes: number
  /** What it takes in the repository. */
  readonly storedBytes: number
  /** Kept whatever the keep rules say. */
  readonly isPinned: boolean
}

interface DumpMemberListing {
  readonly name: string
  /** Such as `globals` or `database`. */
  readonly kind: string
  /** Null: it is of no database alone. */
  readonly database: string | null
  readonly format: string
  readonly rawBytes: number
  readonly storedBytes: number
}

/** The answer of `info` with the label of a dump. */
export interface DumpDetailsDocument extends JsonDocument {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly dump: DumpListing
  readonly members: readonly DumpMemberListing[]
  /** What else is known about it, by name: versions, the snapshot, positions, options. */
  readonly facts: Readonly<Record<string, string>>
  /** The last load of it that was tried; null: none was. */
  readonly drill: DumpDrillListing | null
}

/** The answer of `pin` and `unpin` with the label of a dump. */
export interface PinDumpDocument extends JsonDocument {
  readonly cluster: string
  readonly repos: readonly { readonly name: string; readonly changed: boolean }[]
  readonly dump: DumpListing
}

/** The answer of `delete` with the label of a dump. */
export interface DeleteDumpDocument extends JsonDocument {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly dryRun: boolean
  readonly dump: DumpListing
}

/** The answer of `dump`. */
export interface DumpDocument extends DumpDetailsDocument {
  readonly durationMs: number
  /** The other repositories of the cluster; none when the repository was named. */
  readonly copies: readonly CopyListing[]
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

import type { JsonDocument } from './json-document.ts'

/** The answer of `find`. */
export interface FindDocument extends JsonDocument {
  readonly cluster: string
  readonly repo: string
  readonly timeline: number
  /** What was looked through. */
  readonly searched: {
    readonly fromLsn: string
    readonly toLsn: string
    /** Of the first and the last commit; null when there is none. */
    readonly fromTime: string | null
    readonly toTime: string | null
    readonly commits: number
    /** WAL of which nothing is known. */
    readonly holes: readonly { readonly fromLsn: string; readonly toLsn: string; readonly reason: string }[]
  }
  /** Newest first. */
  readonly transactions: readonly FoundTransaction[]
  /** Older ones that were left out, because there are very many. */
  readonly omittedCount: number
  readonly histogram: readonly { readonly from: string; readonly to: string; readonly commits: number }[]
}

export interface FoundTransaction {
  readonly xid: string
  /** When it ended, and the record that ends it. */
  readonly time: string
  readonly endLsn: string
  readonly isAborted: boolean
  readonly isPrepared: boolean
  /** Of its first record; null when it began before the WAL that was read. */
  readonly firstLsn: string | null
  /** Other transactions that were committed between its first record and its end; null with `firstLsn`. */
  readonly commitsMeanwhile: number | null
  readonly affected: readonly AffectedListing[]
  /** How many there are; `affected` has only the first of very many. */
  readonly affectedCount: number
  /** How to come to the moment before it; null when no backup leads there. */
  readonly restore: RestoreListing | null
}

interface RestoreListing {
  readonly backup: string
  /** Options of `restore`, beside `--target-dir`. */
  readonly options: readonly string[]
}

export interface AffectedListing {
  readonly effect: string
  /** Deleted or updated rows. */
  readonly rows: string | null
  /** About how many rows the relation had when it was last named. */
  readonly estimatedRows: string | null
  readonly database: string | null
  readonly databaseOid: string
  readonly schema: string | null
  readonly name: string | null
  /** pg_class.relkind. */
  readonly kind: string | null
  readonly oid: string | null
  /** Tablespace, database and number of its files; null for a whole database. */
  readonly files: string | null
  /** Why it has no name. */
  readonly whyUnknown: string | null
}

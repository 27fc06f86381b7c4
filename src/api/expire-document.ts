import type { JsonDocument } from './json-document.ts'
import type { KeptListing } from './sweep-document.ts'

/** The answer of `expire`. */
export interface ExpireDocument extends JsonDocument {
  readonly cluster: string
  readonly dryRun: boolean
  readonly repos: readonly ExpiredRepoListing[]
  /** Repositories in which nothing could be planned. */
  readonly failures: readonly { readonly name: string; readonly message: string }[]
}

interface ExpiredRepoListing {
  readonly name: string
  readonly location: string
  /** False: no rule is set, and nothing expires. */
  readonly hasRules: boolean
  readonly keep: readonly {
    readonly label: string
    readonly reasons: readonly string[]
    /** `own`: from now on only the WAL from its start to its stop is kept for it. */
    readonly walRetention: 'onward' | 'own'
  }[]
  /** What the plan takes out of the catalogue. */
  readonly remove: readonly { readonly label: string; readonly reason: string }[]
  /** For which of those that are kept it lets the WAL behind them go. */
  readonly ownWal: readonly string[]
  /** What was done; null in a dry run and when it was refused. */
  readonly done: { readonly removed: readonly string[]; readonly ownWal: readonly string[] } | null
  readonly dumps: {
    /** False: no rule for dumps is set, and none expires. */
    readonly hasRules: boolean
    readonly keep: readonly { readonly label: string; readonly reasons: readonly string[] }[]
    /** What the plan takes out of the catalogue. */
    readonly remove: readonly { readonly label: string; readonly reason: string }[]
    /** What was done; null in a dry run and when it was refused. */
    readonly done: { readonly removed: readonly string[] } | null
  }
  /** What the sweep deleted, or in a dry run would delete now; null when there was none. */
  readonly swept: {
    readonly deletedBytes: number
    readonly deletedObjects: number
    /** What was to be deleted, and whose bytes the store keeps: none of it counts as deleted. */
    readonly kept: readonly KeptListing[]
    /** Not needed any more, and waiting for 24 hours to pass. */
    readonly waitingBytes: number
    readonly waitingObjects: number
    /** What runs now, so that nothing was marked or deleted. */
    readonly postponedFor: string | null
  } | null
  /** Why it was refused, or what became of the sweep; null when all went well. */
  readonly failure: string | null
}

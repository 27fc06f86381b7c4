import type { JsonDocument } from './json-document.ts'

/** The answer of `repo sweep`. */
export interface SweepDocument extends JsonDocument {
  readonly cluster: string
  readonly dryRun: boolean
  readonly repos: readonly {
    readonly name: string
    readonly location: string
    /** By kind of object: what was deleted, or in a dry run would be. */
    readonly deleted: SweptListing
    /** What was to be deleted, and whose bytes the store keeps: none of it counts as deleted. */
    readonly kept: readonly KeptListing[]
    /** What nothing needs any more either, and waits for its grace to end. */
    readonly waiting: SweptListing
    /** When the first of those that wait may be deleted, RFC 3339; null when none waits. */
    readonly nextDueAt: string | null
    /** What runs now, so that nothing was marked or deleted; null when nothing does. */
    readonly postponedFor: string | null
  }[]
  /** Repositories that could not be swept. */
  readonly failures: readonly { readonly name: string; readonly message: string }[]
}

/** Bytes that are not free although nothing needs them. */
export interface KeptListing {
  /** `version`: gone, and kept by the bucket; `retained`, `forbidden`: still there, tried again by a later sweep. */
  readonly reason: 'version' | 'retained' | 'forbidden'
  readonly count: number
  readonly bytes: number
  /** When the last of our locks on them ends, RFC 3339; null without `retention-days`. */
  readonly retainedUntil: string | null
}

type SweptListing = Readonly<
  Record<'manifest' | 'pack' | 'wal' | 'dump', { readonly count: number; readonly bytes: number }>
>

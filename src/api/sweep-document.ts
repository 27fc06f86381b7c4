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

type SweptListing = Readonly<
  Record<'manifest' | 'pack' | 'wal', { readonly count: number; readonly bytes: number }>
>

import type { JsonDocument } from './json-document.ts'

/** The answer of `repo copy`. */
export interface CopyDocument extends JsonDocument {
  readonly cluster: string
  readonly dryRun: boolean
  /** The repository that was copied from. */
  readonly from: { readonly name: string; readonly location: string }
  /** Those that were copied to. */
  readonly repos: readonly {
    readonly name: string
    readonly location: string
    /** That are listed there now, or in a dry run would be; with what was stored for each. */
    readonly backups: readonly { readonly label: string; readonly storedBytes: number }[]
    /** The same of dumps; in a dry run with what they take in the repository that is copied from. */
    readonly dumps: readonly { readonly label: string; readonly storedBytes: number }[]
    /** Backups and dumps that are not copied because they were expired there. */
    readonly forgotten: readonly string[]
    /** Labels that stand for another backup or dump there. */
    readonly otherBackups: readonly string[]
    readonly walFiles: number
    /** Of the files before compression; 0 in a dry run. */
    readonly walBytes: number
    /** Of what was damaged there; `backups` are those that refer to other data now, `dumps` those that were made whole. */
    readonly repaired: {
      readonly packs: number
      readonly walFiles: number
      readonly backups: readonly string[]
      readonly dumps: readonly string[]
    }
    readonly nameLists: number
    /** Backups, dumps and WAL files that could not be copied. */
    readonly failures: readonly { readonly subject: string; readonly message: string }[]
  }[]
  /** Repositories that could not be copied to. */
  readonly failures: readonly { readonly name: string; readonly message: string }[]
}

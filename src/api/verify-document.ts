import type { JsonDocument } from './json-document.ts'

/** The answer of `verify`. */
export interface VerifyDocument extends JsonDocument {
  readonly cluster: string
  /** Whether any of the repositories has damage. */
  readonly isDamaged: boolean
  readonly repos: readonly VerifiedRepoListing[]
  /** Repositories that could not be verified. */
  readonly failures: readonly { readonly name: string; readonly location: string; readonly message: string }[]
}

export interface VerifiedRepoListing {
  readonly name: string
  readonly location: string
  /** `everything`: goes on with a run that was interrupted. `anew`: does not. */
  readonly scope: 'everything' | 'anew' | 'sample'
  /** Of a sample. */
  readonly percent: number | null
  readonly durationMs: number
  readonly provenObjects: number
  /** Of packs and WAL that were read in this run, as they are stored and after decryption and decompression. */
  readonly provenStoredBytes: number
  readonly provenRawBytes: number
  /** Of all packs and WAL. */
  readonly storedBytes: number
  /** Of packs and WAL that an interrupted run had proven before. */
  readonly passedOverBytes: number
  /** Packs that no listed backup refers to. */
  readonly unreferencedPacks: number
  readonly unreferencedBytes: number
  /** Objects that this version does not know. */
  readonly unknownObjects: number
  /** False: the repository could not be written, so nothing of this run is remembered in it. */
  readonly isRemembered: boolean
  readonly lastCompletedAt: string | null
  /** The least recent proof of anything that is stored; null while something was never proven. */
  readonly oldestProofAt: string | null
  readonly damage: readonly DamageListing[]
}

/** What is known of the integrity of a repository, in `info`. */
export interface IntegrityListing {
  readonly lastCompletedAt: string | null
  readonly oldestProofAt: string | null
  readonly damage: readonly DamageListing[]
}

export interface DamageListing {
  readonly kind: string
  /** The key of the object, or where it should be. */
  readonly key: string
  readonly problem: string
  readonly foundAt: string
  readonly seenAt: string
  /** Labels of the listed backups that cannot be restored because of it, and of the dumps that cannot be loaded. */
  readonly backups: readonly string[]
  /** Moments that cannot be reached because of it. */
  readonly lostMoments: readonly LostMomentsListing[]
}

interface LostMomentsListing {
  readonly timeline: number
  readonly fromLsn: string
  readonly fromTime: string
  /** The end of the next backup, from which on moments can be reached again; null when there is none. */
  readonly untilBackup: string | null
  readonly untilLsn: string | null
  readonly untilTime: string | null
}

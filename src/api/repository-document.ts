import type { JsonDocument } from './json-document.ts'

/** The answer of `repo keys`. */
export interface RepoKeysDocument extends JsonDocument {
  readonly repo: string
  readonly location: string
  readonly slots: readonly KeySlotListing[]
}

interface KeySlotListing {
  /** 16 hexadecimal digits. */
  readonly id: string
  /** What opens it; null when it cannot be read. */
  readonly kind: 'key-file' | 'passphrase' | null
  /** True: the configured secret opens it. */
  readonly isOpened: boolean
  /** Why it cannot be read. */
  readonly problem: string | null
}

/** The answer of `repo keys add`. */
export interface AddedKeyDocument extends JsonDocument {
  readonly repo: string
  readonly location: string
  readonly slot: string
  readonly file: string
  /** Whether the file was made now. */
  readonly made: 'created' | 'exists'
}

/** The answer of `repo keys remove`. */
export interface RemovedKeyDocument extends JsonDocument {
  readonly dryRun: boolean
  readonly repo: string
  readonly location: string
  readonly removed: string
  /** The new slot of the configured secret, in the place of those it had; null in a dry run. */
  readonly renewed: string | null
}

/** The answer of `repo rekey`. */
export interface RekeyDocument extends JsonDocument {
  readonly dryRun: boolean
  readonly repo: string
  readonly location: string
  /** The slot of the new secret; null in a dry run. */
  readonly added: string | null
  readonly removed: readonly string[]
  /** What the configuration must say from now on, on every host. */
  readonly setting: { readonly path: string; readonly value: string }
}

/** The answer of `repo accept`. */
export interface AcceptedRepoDocument extends JsonDocument {
  readonly dryRun: boolean
  readonly cluster: string
  readonly repo: string
  readonly location: string
  /** False: there was nothing to accept. */
  readonly isNeeded: boolean
  readonly message: string | null
  readonly newestEntry: number
  readonly newestEntryAt: string | null
  /** Backups that this host has seen listed and that are not any more. */
  readonly lostBackups: readonly string[]
}

/** The answer of `repo probe`. */
export interface ProbeDocument extends JsonDocument {
  readonly repo: string
  readonly location: string
  /** Whether every promise was kept. */
  readonly isFit: boolean
  readonly promises: readonly {
    readonly name: string
    /** How it was broken; null when it was kept. */
    readonly fault: string | null
  }[]
  /** What the store does against deletion, null where that is not known; null as a whole for kinds of store that do nothing. */
  readonly protection: {
    readonly keepsVersions: boolean | null
    readonly canLock: boolean | null
  } | null
  /** Objects of the probe that the keys may not delete. */
  readonly leftCount: number
  /** By how much the clock of this machine is ahead of the store's. */
  readonly clockDifferenceMs: number
  readonly writeLatencyMs: number
  readonly readLatencyMs: number
  readonly writeBytesPerSecond: number
  readonly readBytesPerSecond: number
}

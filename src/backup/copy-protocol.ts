import type { BytePath } from '../platform/byte-path.ts'
import type { SealingKeys } from '../codec/sealed-object.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { CopyTask } from './copy-task.ts'

/*
 * The words of the copying, from the data directory to the manifest:
 *
 *   file   --cut into-->     slices   a run of one file's bytes that one worker reads; a task is a row of slices
 *   slice  --read as-->      pieces   up to 1 MiB of one file, hashed by block
 *   pieces --gathered in-->  units    up to 1 MiB of pieces, compressed and sealed together
 *   units  --appended to-->  packs    objects of about 8 MiB, built in shared memory and stored by the main thread
 *
 * For each piece the worker reports a run: which bytes of which file went to which place of which unit. Runs in order are
 * a file's extents in the manifest.
 */

/** What a copy worker is given once, when it starts. */
export interface CopyWorkerSetup {
  readonly clusterId: string
  readonly label: BackupLabel
  readonly keys: SealingKeys
  readonly blockHashSeed: bigint
  readonly compressionLevel: number
  readonly rootPaths: ReadonlyMap<number, BytePath>
  /** Shared memory in which the worker builds packs, one at a time, while others are stored. */
  readonly buffers: readonly SharedArrayBuffer[]
  /** For each buffer 1 from when its pack is built until it is stored. Shared. */
  readonly occupied: Int32Array<SharedArrayBuffer>
  /** How often a buffer has become free: what a worker waits for that finds all of them occupied. Shared. */
  readonly freed: Int32Array<SharedArrayBuffer>
  /** The number of the last pack that any worker began. Shared by all. */
  readonly lastPack: Int32Array<SharedArrayBuffer>
  /** How blocks are judged that differ from the parent's and are not named by the WAL. */
  readonly audit: AuditBounds | undefined
}

export interface AuditBounds {
  /** The WAL that was looked at begins here: the parent's start. */
  readonly fromLsn: bigint
  /** And ends here: a page with this LSN or a later one was changed since this backup began, and the WAL repairs it. */
  readonly toLsn: bigint
  /**
   * Without checksums, and where a server was promoted, pages may differ by hint bits, without WAL and without a new LSN:
   * such pages are counted, some judged.
   */
  readonly hasSilentHints: boolean
}

export type CopyRequest =
  | { readonly kind: 'copy'; readonly task: CopyTask }
  /** Finish the pack that is being built. */
  | { readonly kind: 'finish' }

/** Where a run of a file went. `packNumber` 0: it is all zeros and was not stored. */
export interface StoredRun {
  readonly file: number
  readonly offset: number
  readonly length: number
  readonly packNumber: number
  readonly unit: number
  readonly unitOffset: number
}

/** A page whose checksum was wrong when it was read. */
export interface SuspectPage {
  readonly file: number
  /** In the file, not in the relation. */
  readonly block: number
  /** XXH64 of what was read. */
  readonly hash: bigint
}

/** A block that differs from the parent's although the WAL does not say that it changed: an audit must judge it. */
export interface UnexpectedBlock {
  readonly file: number
  /** In the file, not in the relation. */
  readonly block: number
  /** XXH64 of what was read. */
  readonly hash: bigint
  /** pd_lsn of what was read. */
  readonly pageLsn: bigint
}

export interface BuiltPack {
  readonly packNumber: number
  /** Which of the buffers holds it. */
  readonly buffer: number
  readonly sizeBytes: number
  readonly indexTag: Uint8Array
}

/** Bytes of a file that were read and found to be the parent's. */
export interface KeptBytes {
  readonly file: number
  readonly bytes: number
}

export interface CopyResponse {
  readonly runs: readonly StoredRun[]
  readonly kept: readonly KeptBytes[]
  readonly suspects: readonly SuspectPage[]
  readonly unexpected: readonly UnexpectedBlock[]
  /** How many blocks were unexpected, but for those of which the LSN says that they changed since the backup began. */
  readonly unexpectedCount: number
  /** Files that ended elsewhere than the scan said, and where. */
  readonly resized: readonly { readonly file: number; readonly sizeBytes: number }[]
  /** Files that were gone when they were to be read. */
  readonly vanished: readonly number[]
  /** Files that had grown by so much that their end was left out. */
  readonly cut: readonly number[]
  readonly built: readonly BuiltPack[]
}

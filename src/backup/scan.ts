import type { BytePath } from '../platform/byte-path.ts'
import type { TablespaceRecord } from '../repository/manifest-head.ts'

interface ScannedEntry {
  /** 0: the data directory; else the OID of a tablespace. */
  readonly root: number
  /** Relative to the root. */
  readonly path: BytePath
  /** Index into `Scan.owners`. */
  readonly owner: number
}

/** By root, then by the bytes of the path: the order of a manifest. */
export function compareScanned(one: ScannedEntry, other: ScannedEntry): number {
  if (one.root !== other.root) return one.root - other.root
  if (one.path === other.path) return 0
  return one.path < other.path ? -1 : 1
}

export interface ScannedDirectory extends ScannedEntry {
  readonly mode: number
}

export interface ScannedFile extends ScannedEntry {
  readonly mode: number
  /** When it was looked at. Growth after that is for the WAL (R8). */
  readonly sizeBytes: number
  readonly modifiedAtMs: number
  /** It is a symbolic link that the policy follows. */
  readonly isFollowed: boolean
}

export interface ScannedLink extends ScannedEntry {
  readonly target: BytePath
}

/** What is to be backed up, looked at after the backup began (R5). Entries stand in the order of a manifest. */
export interface Scan {
  readonly directories: readonly ScannedDirectory[]
  readonly files: readonly ScannedFile[]
  readonly links: readonly ScannedLink[]
  readonly tablespaces: readonly TablespaceRecord[]
  /** Where each root is on this machine. */
  readonly rootPaths: ReadonlyMap<number, BytePath>
  readonly owners: readonly string[]
  readonly totalBytes: number
}

import type { BackupLabel } from '../domain/backup-label.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import type { LeaveOut } from './leave-out.ts'

/** What an operator asks for. */
export interface RestoreRequest {
  /** Absolute; becomes the data directory. */
  readonly targetDirectory: string
  /** Undefined: the newest backup that fits the target. */
  readonly backup: BackupLabel | undefined
  readonly target: RecoveryTarget
  /** Reuses what is in the target directory where its content is right. */
  readonly isDelta: boolean
  readonly tablespaceMap: readonly TablespaceMapping[]
  /** Where tablespaces go that are not mapped, each into a directory named by its OID. Undefined: where they were. */
  readonly tablespaceFolder?: string
  /** Leaves recovery to the operator. */
  readonly isFilesOnly: boolean
  /** The restored cluster goes on archiving as the cluster that it was restored from (R49). */
  readonly continuesLineage: boolean
  /** For a throw-away server: nothing reads the cluster's configuration files, and none of its libraries are loaded (R63). */
  readonly isIsolated?: boolean
  /**
   * For a throw-away server that only some tables are read from: which files are not restored, told as soon as the backup is
   * chosen. They get their size and nothing but zeros. Only with `isIsolated`: such a directory is no restored cluster.
   */
  readonly leaveOut?: (backup: ManifestHead['backup'], context: RunContext) => Promise<LeaveOut>
}

export interface TablespaceMapping {
  /** Its name or its OID. */
  readonly tablespace: string
  /** Absolute. */
  readonly directory: string
}

/** What a restore is to come to, as one text: the same for a command that is run again, and for no other. */
export function goalOf(request: RestoreRequest): string {
  const { backup, target, tablespaceMap, isFilesOnly, continuesLineage } = request
  const goal = { backup, target, tablespaceMap, isFilesOnly, continuesLineage }
  return JSON.stringify(goal, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
}

/** Reads `NAME=DIR` or `OID=DIR`. */
export function splitTablespaceMapping(text: string): TablespaceMapping | undefined {
  const [, tablespace, directory] = /^([^=]+)=(\/[^\0]*)$/s.exec(text) ?? []
  return tablespace === undefined || directory === undefined ? undefined : { tablespace, directory }
}

import type { BackupLabel } from '../domain/backup-label.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'

/** What is known of stored backups. */
export interface BackupKnowledge {
  /** Found damaged by `verify`. */
  readonly damaged: ReadonlySet<BackupLabel>
  /** Their own WAL is not all in the archive. */
  readonly walMissing: ReadonlySet<BackupLabel>
}

/** Tells why a backup must not be counted on; undefined when it can be. */
export function createUsability({
  damaged,
  walMissing,
}: BackupKnowledge): (backup: ListedBackup) => string | undefined {
  return ({ label, damagedPageCount }) => {
    if (damaged.has(label)) return 'its data in the repository is damaged'
    if (walMissing.has(label)) return 'WAL that it needs is missing'
    return damagedPageCount > 0 ? `it holds ${damagedPageCount} damaged pages` : undefined
  }
}

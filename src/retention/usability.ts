import type { BackupLabel } from '../domain/backup-label.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'

/** What is known of stored backups. */
export interface BackupKnowledge {
  /** `verify` found their own data in the repository damaged: nothing mends that. */
  readonly damaged: ReadonlySet<BackupLabel>
  /** Their own WAL is not all in the archive, or some of it with several contents or damaged. */
  readonly walMissing: ReadonlySet<BackupLabel>
  /** Of which nobody can tell whether they can be restored, and why: what led to them cannot be read now. */
  readonly unknown: ReadonlyMap<BackupLabel, string>
}

/** Whether a backup can be counted on. What is not known is never taken for broken: it only looks like that now. */
export type BackupState =
  | { readonly kind: 'usable' }
  | { readonly kind: 'broken'; readonly reason: string; readonly mayBeMended: boolean }
  | { readonly kind: 'unknown'; readonly reason: string }

/** Tells the state of each backup. */
export function createStates({
  damaged,
  walMissing,
  unknown,
}: BackupKnowledge): (backup: ListedBackup) => BackupState {
  return ({ label, damagedPageCount }) => {
    const reason = unknown.get(label)
    if (damaged.has(label))
      return { kind: 'broken', reason: 'its data in the repository is damaged', mayBeMended: false }
    if (reason !== undefined) return { kind: 'unknown', reason }
    if (walMissing.has(label))
      return { kind: 'broken', reason: 'WAL that it needs is missing or not usable', mayBeMended: true }
    if (damagedPageCount > 0)
      return { kind: 'broken', reason: `it holds ${damagedPageCount} damaged pages`, mayBeMended: true }
    return { kind: 'usable' }
  }
}

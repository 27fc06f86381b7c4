import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { Instant } from '../domain/target-time.ts'
import type { BackupEntry, ListedBackup } from '../repository/backup-entry.ts'

export interface TransferFacts {
  /** What the repository lists that is copied from, and the one that is copied to. */
  readonly source: readonly ListedBackup[]
  readonly target: readonly ListedBackup[]
  /** What the target has ever listed, as far as its catalogue still tells: what it lists no more was expired there. */
  readonly everListed: ReadonlySet<BackupLabel>
  /** From when on the target's catalogue tells that; undefined: from its beginning. */
  readonly toldSince: Instant | undefined
  /** Backups that are asked for by name, also when the target has forgotten them; empty: all that it lacks. */
  readonly wanted: readonly BackupLabel[]
}

export interface TransferPlan {
  /** Oldest first. */
  readonly backups: readonly ListedBackup[]
  /** What the target has forgotten, or may have before its catalogue tells: it is not brought back unless it is asked for. */
  readonly forgotten: readonly BackupLabel[]
  /**
   * Labels that both list for two different backups. Labels are unique within a repository: two backups into two of them that
   * began in the same second may have the same.
   */
  readonly twins: readonly BackupLabel[]
}

/**
 * Which backups are copied: what the source lists, and the target does not and has not forgotten. Throws `not-found` for a
 * wanted backup that the source does not list.
 */
export function planTransfer({ source, target, everListed, toldSince, wanted }: TransferFacts): TransferPlan {
  const there = new Map(target.map((backup) => [backup.label, backup]))
  const chosen =
    wanted.length === 0 ? source : [...new Set(wanted)].map((label) => requireListed(label, source))
  const isForgotten = ({ label, stoppedAt }: ListedBackup): boolean =>
    wanted.length === 0 && (everListed.has(label) || (toldSince !== undefined && stoppedAt < toldSince))
  const lacking = chosen
    .filter(({ label }) => !there.has(label))
    .toSorted((one, other) => Number(one.startedAt - other.startedAt))
  return {
    backups: lacking.filter((backup) => !isForgotten(backup)),
    forgotten: lacking.filter(isForgotten).map(({ label }) => label),
    twins: chosen.filter((backup) => isTwin(backup, there.get(backup.label))).map(({ label }) => label),
  }
}

/** Throws `not-found`. */
export function requireListed(label: BackupLabel, source: readonly ListedBackup[]): ListedBackup {
  const backup = source.find((candidate) => candidate.label === label)
  if (backup !== undefined) return backup
  throw new OperationError('not-found', `copying backup ${label}: the repository does not list it`, {
    hint: 'Run "holdfast info" to see which backups there are.',
  })
}

const backupFacts = ['startLsn', 'stopLsn', 'timeline', 'startedAt', 'restoredBytes'] as const
type BackupFacts = Pick<BackupEntry, (typeof backupFacts)[number]>

/** Whether two backups of one label are different ones. */
export function isTwin(one: BackupFacts, other: BackupFacts | undefined): boolean {
  if (other === undefined) return false
  return backupFacts.some((fact) => one[fact] !== other[fact])
}

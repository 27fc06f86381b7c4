import type { BackupLabel } from '../domain/backup-label.ts'
import { isReachable, type TimelineHistory } from '../domain/timeline-history.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'

export interface ParentFacts {
  /** In the order of the catalogue. */
  readonly listed: readonly ListedBackup[]
  /** Of the timeline that the server is on. */
  readonly history: TimelineHistory
  /** Backups that are known to be damaged: nothing is built on them (X7). */
  readonly damaged: ReadonlySet<BackupLabel>
}

/** What a backup goes on from, or why it has to begin anew. */
export type ParentChoice =
  | { readonly kind: 'parent'; readonly backup: ListedBackup }
  | { readonly kind: 'none'; readonly reason: string }

/** The newest backup that is whole and lies on the way to where the server is now. */
export function chooseParent({ listed, history, damaged }: ParentFacts): ParentChoice {
  if (listed.length === 0) return { kind: 'none', reason: 'there is no backup yet' }
  const whole = listed.filter(({ label }) => !damaged.has(label))
  if (whole.length === 0) return { kind: 'none', reason: 'every backup is known to be damaged' }
  const backup = whole.findLast(({ timeline, stopLsn }) => isReachable(history, { timeline, lsn: stopLsn }))
  if (backup !== undefined) return { kind: 'parent', backup }
  return { kind: 'none', reason: `no backup lies on the way to timeline ${history.timeline}` }
}

/**
 * Whether the next incremental is to be audited: the first one after a full backup, and then each `every`-th. What was
 * audited in a backup that is listed no more counts for nothing.
 */
export function isAuditDue(listed: readonly ListedBackup[], every: number): boolean {
  const sinceFull = listed.slice(listed.findLastIndex(({ type }) => type === 'full') + 1)
  const lastAudited = sinceFull.findLastIndex(({ isAudited }) => isAudited === true)
  return lastAudited === -1 || sinceFull.length - lastAudited >= every
}

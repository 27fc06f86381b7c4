import type { ArchivePlace } from '../archive/archive-place.ts'
import { describePlace } from '../archive/archive-place.ts'
import { nounOf, type BackupLabel } from '../domain/backup-label.ts'
import type { Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { Instant } from '../domain/target-time.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { isOnBranch, type Branch } from './branch-needs.ts'
import { createStates, type BackupKnowledge } from './usability.ts'

export interface DeleteRequest {
  readonly label: BackupLabel
  /** Whether the last usable backup may go too. */
  readonly acceptsLast: boolean
}

/** Moments that cannot be reached any more without the backup. */
export interface LostMoments {
  readonly timeline: number
  readonly from: Instant
  /** Where the next backup takes over; undefined: all that is archived behind it. */
  readonly to: Instant | undefined
}

export interface DeletePlan {
  readonly backup: ListedBackup
  readonly lost: readonly LostMoments[]
  /** Of those that stay, how many can be used. */
  readonly usableLeft: number
}

/** Everything besides the catalogue that decides what a deletion costs. */
export interface DeleteKnowledge extends BackupKnowledge {
  readonly branches: readonly Branch[]
  /** Up to where the WAL leads from a backup along a timeline without a hole; undefined: not even to its own end. */
  readonly reachOf: (label: BackupLabel, timeline: TimelineId) => Lsn | undefined
}

interface DeleteFacts extends DeleteKnowledge {
  readonly listed: readonly ListedBackup[]
}

/** Decides whether one backup may go, and what that costs. Throws `not-found`, `backup-pinned` or `last-backup`. */
export function planDelete(
  { label, acceptsLast }: DeleteRequest,
  facts: DeleteFacts,
  place: ArchivePlace,
): DeletePlan {
  const { listed } = facts
  const backup = requireListed(label, listed, place)
  requireUnpinned(backup, place)
  const stateOf = createStates(facts)
  const left = listed.filter((other) => other !== backup && stateOf(other).kind === 'usable')
  if (left.length === 0 && !acceptsLast) {
    throw new OperationError(
      'last-backup',
      `deleting backup ${label} of ${describePlace(place)}: no other backup there is known to be usable`,
      { hint: 'Take another one first, or add "--last" to be left with nothing to restore from.' },
    )
  }
  return { backup, lost: lostWithout(backup, left, facts), usableLeft: left.length }
}

/** Throws `backup-pinned` when it is. */
export function requireUnpinned({ label, isPinned }: ListedBackup | ListedDump, place: ArchivePlace): void {
  if (!isPinned) return
  throw new OperationError(
    'backup-pinned',
    `deleting ${nounOf(label)} ${label} of ${describePlace(place)}: it is pinned`,
    { hint: `Run "holdfast unpin ${label}" first, when it is not needed any more.` },
  )
}

/** The backup or dump of that label. Throws `not-found`. */
export function requireListed<One extends ListedBackup | ListedDump>(
  label: string,
  listed: readonly One[],
  place: ArchivePlace,
): One {
  const found = listed.find((candidate) => candidate.label === label)
  if (found !== undefined) return found
  throw new OperationError(
    'not-found',
    `looking for ${nounOf(label)} ${label} of ${describePlace(place)}: it is not listed`,
    { hint: 'Run "holdfast info" to see the labels.' },
  )
}

/** A hole in the WAL makes a backup behind it indispensable, although older ones lead there by name. */
function lostWithout(
  backup: ListedBackup,
  left: readonly ListedBackup[],
  { branches, reachOf }: DeleteKnowledge,
): readonly LostMoments[] {
  const from = backup.stoppedAt
  if (backup.walRetention === 'own') return [{ timeline: backup.timeline, from, to: from }]
  return branches.flatMap((branch): readonly LostMoments[] => {
    const { timeline } = branch
    const end = reachOf(backup.label, timeline)
    if (!isOnBranch(backup, branch) || (branch.history !== undefined && end === undefined)) return []
    const path = left.filter((other) => other.walRetention === 'onward' && isOnBranch(other, branch))
    const leadsAsFar = ({ label }: ListedBackup): boolean =>
      end === undefined || (reachOf(label, timeline) ?? -1n) >= end
    if (path.some((other) => other.stoppedAt <= from && leadsAsFar(other))) return []
    const next = path
      .filter((other) => other.stoppedAt > from && leadsAsFar(other))
      .toSorted((one, other) => Number(one.stoppedAt - other.stoppedAt))[0]
    return [{ timeline, from, to: next?.stoppedAt }]
  })
}

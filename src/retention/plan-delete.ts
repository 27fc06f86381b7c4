import type { ArchivePlace } from '../archive/archive-place.ts'
import { describePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { Instant } from '../domain/target-time.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { isOnBranch, type Branch } from './branch-needs.ts'
import { createUsability, type BackupKnowledge } from './usability.ts'

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

interface DeleteFacts extends BackupKnowledge {
  readonly listed: readonly ListedBackup[]
  readonly branches: readonly Branch[]
}

/** Decides whether one backup may go, and what that costs. Throws `not-found`, `backup-pinned` or `last-backup`. */
export function planDelete(
  { label, acceptsLast }: DeleteRequest,
  facts: DeleteFacts,
  place: ArchivePlace,
): DeletePlan {
  const { listed, branches } = facts
  const backup = requireListed(label, listed, place)
  if (backup.isPinned) {
    throw new OperationError(
      'backup-pinned',
      `deleting backup ${label} of ${describePlace(place)}: it is pinned`,
      {
        hint: `Run "holdfast unpin ${label}" first, when it is not needed any more.`,
      },
    )
  }
  const whyUnusable = createUsability(facts)
  const left = listed.filter((other) => other !== backup && whyUnusable(other) === undefined)
  if (left.length === 0 && !acceptsLast) {
    throw new OperationError(
      'last-backup',
      `deleting backup ${label} of ${describePlace(place)}: no other backup there is known to be usable`,
      { hint: 'Take another one first, or add "--last" to be left with nothing to restore from.' },
    )
  }
  return { backup, lost: lostWithout(backup, left, branches), usableLeft: left.length }
}

/** The backup of that label. Throws `not-found`. */
export function requireListed(
  label: string,
  listed: readonly ListedBackup[],
  place: ArchivePlace,
): ListedBackup {
  const backup = listed.find((candidate) => candidate.label === label)
  if (backup !== undefined) return backup
  throw new OperationError(
    'not-found',
    `looking for backup ${label} of ${describePlace(place)}: it is not listed`,
    {
      hint: 'Run "holdfast info" to see the labels.',
    },
  )
}

function lostWithout(
  backup: ListedBackup,
  left: readonly ListedBackup[],
  branches: readonly Branch[],
): readonly LostMoments[] {
  const from = backup.stoppedAt
  const { timeline } = backup
  if (backup.walRetention === 'own') return [{ timeline, from, to: from }]
  return branches
    .filter((branch) => isOnBranch(backup, branch))
    .flatMap((branch): readonly LostMoments[] => {
      const path = left.filter((other) => other.walRetention === 'onward' && isOnBranch(other, branch))
      if (path.some(({ stoppedAt }) => stoppedAt <= from)) return []
      const next = path.toSorted((one, other) => Number(one.stoppedAt - other.stoppedAt))[0]
      return [{ timeline: branch.timeline, from, to: next?.stoppedAt }]
    })
}

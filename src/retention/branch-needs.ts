import type { Instant } from '../domain/target-time.ts'
import { isReachable, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'

/** A timeline that the archive ends on. */
export interface Branch {
  readonly timeline: TimelineId
  /** Undefined: nobody knows where it comes from, so that any backup of an older timeline may lead to it. */
  readonly history: TimelineHistory | undefined
}

/** What a branch is reached from. */
export interface BranchNeed {
  readonly timeline: TimelineId
  /** Oldest first: from the newest that ended at the edge or before on, or all that lead there when none did. */
  readonly backups: readonly ListedBackup[]
}

interface BranchFacts {
  /** Oldest first. */
  readonly usable: readonly ListedBackup[]
  /** All that are listed. */
  readonly listed: readonly ListedBackup[]
  readonly branches: readonly Branch[]
  readonly edge: Instant
}

/**
 * What each living branch needs, so that every moment since the edge can be reached on it: usable backups that keep their
 * WAL onward. After a recovery the newest backup may be on a timeline that was abandoned, and what the server does now be
 * reached from an older one only: so each branch has needs of its own. A branch is over, and needs nothing, when none of its
 * backups ended behind the edge and a younger timeline had one by then.
 */
export function findBranchNeeds({ usable, listed, branches, edge }: BranchFacts): readonly BranchNeed[] {
  const onward = usable.filter(({ walRetention }) => walRetention === 'onward')
  const known = branches.length > 0 ? branches : branchesOf(listed)
  return known
    .filter((branch) => !isOver(branch, listed, edge))
    .map((branch) => ({ timeline: branch.timeline, backups: neededFor(branch, onward, edge) }))
}

/** Where nobody knows what a timeline came out of, any backup of an older one may be the only one that leads to it. */
function neededFor(branch: Branch, onward: readonly ListedBackup[], edge: Instant): readonly ListedBackup[] {
  const path = onward.filter((backup) => isOnBranch(backup, branch))
  const certain =
    branch.history === undefined ? path.filter(({ timeline }) => timeline === branch.timeline) : path
  const floor = certain.findLast(({ stoppedAt }) => stoppedAt <= edge)
  return floor === undefined ? path : certain.filter(({ stoppedAt }) => stoppedAt >= floor.stoppedAt)
}

function isOver({ timeline, history }: Branch, listed: readonly ListedBackup[], edge: Instant): boolean {
  const isAlive = listed.some(
    (backup) =>
      backup.stoppedAt > edge && isOnBranch(backup, { timeline, history }) && backup.timeline <= timeline,
  )
  const isSucceeded = listed.some((backup) => backup.timeline > timeline && backup.stoppedAt <= edge)
  return !isAlive && isSucceeded
}

/** Whether a recovery along the branch passes through the end of the backup, as far as is known. */
export function isOnBranch({ timeline, stopLsn }: ListedBackup, branch: Branch): boolean {
  return branch.history === undefined
    ? timeline <= branch.timeline
    : isReachable(branch.history, { timeline, lsn: stopLsn })
}

/** Without an archive to ask, each timeline that has a backup counts. */
function branchesOf(listed: readonly ListedBackup[]): readonly Branch[] {
  return [...new Set(listed.map(({ timeline }) => timeline))].map((timeline) => ({
    timeline,
    history: undefined,
  }))
}

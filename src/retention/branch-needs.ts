import { instantFromMs, type Instant } from '../domain/target-time.ts'
import { isReachable, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { BackupState } from './usability.ts'

/** A timeline that the archive ends on. */
export interface Branch {
  readonly timeline: TimelineId
  /** Undefined: nobody knows where it comes from, so that any backup of an older timeline may lead to it. */
  readonly history: TimelineHistory | undefined
  /** When the newest of its own files was archived, by the store's clock; undefined when that is not known. */
  readonly archivedAtMs?: number | undefined
}

/** What a branch is reached from. */
export interface BranchNeed {
  readonly branch: Branch
  /** Oldest first: from the newest that ended at the edge or before on, or all that lead there when none did. */
  readonly backups: readonly ListedBackup[]
  /**
   * What keeps its WAL though it cannot be used now: the newest from before the edge that may be mended, or when nothing
   * usable leads there, everything that did.
   */
  readonly held: readonly ListedBackup[]
}

interface BranchFacts {
  /** Oldest first. */
  readonly usable: readonly ListedBackup[]
  /** All that are listed. */
  readonly listed: readonly ListedBackup[]
  readonly stateOf: (backup: ListedBackup) => BackupState
  readonly branches: readonly Branch[]
  readonly edge: Instant
}

/** So far the clocks of the server and of the store may be apart (T2). */
const skewMs = 60 * 60 * 1000

/**
 * What each living branch needs, so that every moment since the edge can be reached on it: usable backups that keep their
 * WAL onward. After a recovery the newest backup may be on a timeline that was abandoned, and what the server does now be
 * reached from an older one only: so each branch has needs of its own.
 */
export function findBranchNeeds(facts: BranchFacts): readonly BranchNeed[] {
  const known = facts.branches.length > 0 ? facts.branches : branchesOf(facts.listed)
  const alive = known.filter((branch) => isAlive(branch, facts))
  return known
    .filter((branch) => alive.includes(branch) || !isOver(branch, alive, facts))
    .map((branch) => {
      const backups = neededFor(branch, facts)
      return { branch, backups, held: heldFor(branch, backups, facts) }
    })
}

/** Where nobody knows what a timeline came out of, any backup of an older one may be the only one that leads to it. */
function neededFor(branch: Branch, { usable, edge }: BranchFacts): readonly ListedBackup[] {
  const path = usable.filter((backup) => isOnward(backup) && isOnBranch(backup, branch))
  const certain =
    branch.history === undefined ? path.filter(({ timeline }) => timeline === branch.timeline) : path
  const floor = certain.findLast(({ stoppedAt }) => stoppedAt <= edge)
  return floor === undefined ? path : certain.filter(({ stoppedAt }) => stoppedAt >= floor.stoppedAt)
}

function heldFor(
  branch: Branch,
  needed: readonly ListedBackup[],
  { listed, stateOf, edge }: BranchFacts,
): readonly ListedBackup[] {
  const [floor] = needed
  const path = listed.filter((backup) => isOnward(backup) && isOnBranch(backup, branch))
  if (floor === undefined) return path
  const mendable = path
    .filter(({ stoppedAt }) => stoppedAt <= edge && (floor.stoppedAt > edge || stoppedAt > floor.stoppedAt))
    .toSorted((one, other) => Number(one.stoppedAt - other.stoppedAt))
    .findLast((backup) => {
      const state = stateOf(backup)
      return state.kind === 'unknown' || (state.kind === 'broken' && state.mayBeMended)
    })
  return mendable === undefined ? [] : [mendable]
}

/** Something happened on it behind the edge: a backup ended, or WAL was archived. */
function isAlive(branch: Branch, { listed, edge }: BranchFacts): boolean {
  const { timeline, archivedAtMs } = branch
  return (
    (archivedAtMs !== undefined && instantFromMs(archivedAtMs + skewMs) > edge) ||
    listed.some(
      (backup) => backup.stoppedAt > edge && isOnBranch(backup, branch) && backup.timeline <= timeline,
    )
  )
}

/**
 * One that nothing has happened on since the edge is over when a younger timeline had a backup by then; and when it never
 * had one, as after a copy was promoted for a test, while another goes on.
 */
function isOver(branch: Branch, alive: readonly Branch[], { listed, edge }: BranchFacts): boolean {
  const { timeline, history, archivedAtMs } = branch
  if (listed.some((backup) => backup.timeline > timeline && backup.stoppedAt <= edge)) return true
  const isBare = !listed.some((backup) => backup.timeline === timeline)
  return isBare && history !== undefined && archivedAtMs !== undefined && alive.length > 0
}

/** Whether a recovery along the branch passes through the end of the backup, as far as is known. */
export function isOnBranch({ timeline, stopLsn }: ListedBackup, branch: Branch): boolean {
  return branch.history === undefined
    ? timeline <= branch.timeline
    : isReachable(branch.history, { timeline, lsn: stopLsn })
}

const isOnward = ({ walRetention }: ListedBackup): boolean => walRetention === 'onward'

/** Without an archive to ask, each timeline that has a backup counts. */
function branchesOf(listed: readonly ListedBackup[]): readonly Branch[] {
  return [...new Set(listed.map(({ timeline }) => timeline))].map((timeline) => ({
    timeline,
    history: undefined,
  }))
}

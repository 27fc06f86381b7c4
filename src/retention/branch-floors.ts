import type { BackupLabel } from '../domain/backup-label.ts'
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

/** A stretch of backups one behind the other, and the one of them from which on every moment since the edge is reached. */
export interface Floor {
  readonly timeline: TimelineId
  /** Oldest first; only those that keep their WAL onward and can be used. */
  readonly path: readonly ListedBackup[]
  /** The newest that ended at the edge or before; undefined when none did: then the oldest there is matters. */
  readonly backup: ListedBackup | undefined
}

interface FloorFacts {
  /** Oldest first. */
  readonly usable: readonly ListedBackup[]
  /** All that are listed. */
  readonly listed: readonly ListedBackup[]
  readonly branches: readonly Branch[]
  readonly edge: Instant
}

/**
 * From where each living branch is reached. After a recovery the newest backup may be on a timeline that was abandoned, and
 * what the server does now be reached from an older one only: so each branch has a floor of its own. A branch is over, and
 * needs nothing, when none of its backups ended behind the edge and a younger timeline had one by then.
 */
export function findFloors({ usable, listed, branches, edge }: FloorFacts): readonly Floor[] {
  const onward = usable.filter(({ walRetention }) => walRetention === 'onward')
  const known = branches.length > 0 ? branches : branchesOf(listed)
  return known
    .filter((branch) => !isOver(branch, listed, edge))
    .flatMap((branch) => pathsOf(branch, onward).map((path) => ({ timeline: branch.timeline, path })))
    .map(({ timeline, path }) => ({
      timeline,
      path,
      backup: path.findLast(({ stoppedAt }) => stoppedAt <= edge),
    }))
}

/** Labels of the backups whose WAL onward is needed to reach every moment since the edge. */
export function neededOnward(floors: readonly Floor[]): ReadonlySet<BackupLabel> {
  return new Set(
    floors.flatMap(({ path, backup }) =>
      path
        .filter(({ stoppedAt }) => backup === undefined || stoppedAt >= backup.stoppedAt)
        .map(({ label }) => label),
    ),
  )
}

function isOver({ timeline, history }: Branch, listed: readonly ListedBackup[], edge: Instant): boolean {
  const isAlive = listed.some(
    (backup) =>
      backup.stoppedAt > edge && isOnBranch(backup, { timeline, history }) && backup.timeline <= timeline,
  )
  const isSucceeded = listed.some((backup) => backup.timeline > timeline && backup.stoppedAt <= edge)
  return !isAlive && isSucceeded
}

/** The backups that lead to a branch. Where that is not known, each timeline's backups may be the ones. */
function pathsOf(branch: Branch, usable: readonly ListedBackup[]): readonly (readonly ListedBackup[])[] {
  const path = usable.filter((backup) => isOnBranch(backup, branch))
  return branch.history === undefined ? [...Map.groupBy(path, ({ timeline }) => timeline).values()] : [path]
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

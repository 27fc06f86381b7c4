import type { BackupLabel } from '../domain/backup-label.ts'
import { formatLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import { formatInstant } from '../domain/target-time.ts'
import { isReachable, timelineSpans, type TimelineHistory } from '../domain/timeline-history.ts'
import { formatTimelineHex, type TimelineId } from '../domain/timeline.ts'
import type { TimelineCoverage } from '../domain/wal-gaps.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'

/** The backup that a restore begins with, and the timelines that its recovery follows. */
export interface Route {
  readonly backup: BackupEntry
  readonly history: TimelineHistory
}

/** What is known of backups and timelines, without reading any content. */
export interface RouteFacts {
  /** Oldest first. */
  readonly backups: readonly BackupEntry[]
  readonly timelines: readonly TimelineCoverage[]
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>
}

export interface RouteRequest {
  readonly target: RecoveryTarget
  readonly label: BackupLabel | undefined
  /** Where an xid or a restore point was found in the WAL: its record. */
  readonly locatedLsn?: Lsn
}

/**
 * Chooses the newest backup that ends before the target and lies on the target's timeline path (R36, R37). A backup that
 * was asked for by label is taken or refused, never replaced. Throws `target-unreachable`, `target-ambiguous` or, when a
 * history file is missing, `wal-missing`.
 */
export function chooseRoute(request: RouteRequest, facts: RouteFacts): Route {
  if (request.label !== undefined)
    return routeFrom(listedBackup(request.label, facts.backups), request, facts)
  const newest = facts.backups.findLast((backup) => whyNot(backup, request, facts) === undefined)
  if (newest === undefined) throw noneFits(request, facts)
  return routeFrom(newest, request, facts)
}

function routeFrom(backup: BackupEntry, request: RouteRequest, facts: RouteFacts): Route {
  const reason = whyNot(backup, request, facts)
  if (reason === undefined) return { backup, history: resolveHistory(backup, request.target, facts) }
  throw new OperationError('target-unreachable', `restoring from backup ${backup.label}: ${reason}`, {
    hint: 'Name another backup or leave "--backup" out, and the newest one that fits is taken.',
  })
}

/** Why this backup cannot lead to the target; undefined when it can. */
function whyNot(
  backup: BackupEntry,
  { target, locatedLsn }: RouteRequest,
  facts: RouteFacts,
): string | undefined {
  const { stopLsn, stoppedAt } = backup
  const targetLsn = target.kind === 'lsn' ? target.lsn : locatedLsn
  if (target.kind === 'time' && stoppedAt > target.time) {
    return `it ended at ${formatInstant(stoppedAt)}, after the target ${formatInstant(target.time)}`
  }
  if (targetLsn !== undefined && stopLsn > targetLsn) {
    return `it ended at LSN ${formatLsn(stopLsn)}, after the target at LSN ${formatLsn(targetLsn)}`
  }
  if (typeof target.timeline !== 'number') return undefined
  const history = historyOf(target.timeline, facts)
  if (isReachable(history, { timeline: backup.timeline, lsn: stopLsn })) return undefined
  return `timeline ${target.timeline} does not pass through its end, LSN ${formatLsn(stopLsn)} on timeline ${backup.timeline}`
}

function resolveHistory(backup: BackupEntry, target: RecoveryTarget, facts: RouteFacts): TimelineHistory {
  // A backup is consistent on its own timeline; whatever grew out of it does not matter.
  if (target.kind === 'immediate' && target.timeline === undefined) return historyOf(backup.timeline, facts)
  switch (target.timeline) {
    case 'current':
      return historyOf(backup.timeline, facts)
    case 'latest':
      return (
        descendantsOf(backup, facts)
          .toSorted((one, other) => one.timeline - other.timeline)
          .at(-1) ?? historyOf(backup.timeline, facts)
      )
    case undefined:
      return onlyBranch(backup, facts)
    default:
      return historyOf(target.timeline, facts)
  }
}

/** The one way that leads on from the backup. Several ways are the operator's to choose between (R37). */
function onlyBranch(backup: BackupEntry, facts: RouteFacts): TimelineHistory {
  const ends = branchEnds(backup, facts)
  const [end, second] = ends
  if (end !== undefined && second === undefined) return end
  const found = ends.map(({ timeline }) => timeline).join(', ')
  throw new OperationError(
    'target-ambiguous',
    `choosing the timeline to recover backup ${backup.label} on: expected one that came out of timeline ${backup.timeline}, found ${found}`,
    {
      hint: `Name the one that you follow with "--target-timeline", for example ${end?.timeline ?? backup.timeline}.`,
    },
  )
}

/**
 * Where the WAL that came out of the backup ends: timelines that nothing forked from, and those on which the server went
 * on after a fork, which happens when a copy was promoted beside it.
 */
function branchEnds(backup: BackupEntry, facts: RouteFacts): readonly TimelineHistory[] {
  const family = [historyOf(backup.timeline, facts), ...descendantsOf(backup, facts)]
  return family.filter((member) => {
    const forks = family.flatMap((other) =>
      other.timeline === member.timeline ? [] : (spanEnd(other, member.timeline) ?? []),
    )
    const last = forks.reduce<Lsn | undefined>(
      (latest, fork) => (latest === undefined || fork > latest ? fork : latest),
      undefined,
    )
    return last === undefined || hasWalBehind(member.timeline, last, facts)
  })
}

function descendantsOf(
  { timeline, stopLsn }: BackupEntry,
  { histories }: RouteFacts,
): readonly TimelineHistory[] {
  return [...histories.values()].filter(
    (history) => history.timeline !== timeline && isReachable(history, { timeline, lsn: stopLsn }),
  )
}

/** Where a history leaves the timeline; undefined when it does not pass through it. */
function spanEnd(history: TimelineHistory, timeline: TimelineId): Lsn | undefined {
  return timelineSpans(history).find((span) => span.timeline === timeline)?.endLsn
}

function hasWalBehind(timeline: TimelineId, fork: Lsn, { timelines }: RouteFacts): boolean {
  const coverage = timelines.find((candidate) => candidate.timeline === timeline)
  // The segment of the fork itself is on both: the old timeline's may have been filled up by a switch.
  return (
    coverage?.ranges.some(({ endLsn, startLsn, count }) => endLsn - (endLsn - startLsn) / count >= fork) ??
    false
  )
}

function historyOf(timeline: TimelineId, { histories }: RouteFacts): TimelineHistory {
  const known = histories.get(timeline)
  if (known !== undefined) return known
  if (timeline === 1) return { timeline, ancestors: [] }
  const file = `${formatTimelineHex(timeline)}.history`
  throw new OperationError(
    'wal-missing',
    `following timeline ${timeline}: "${file}" is not in the archive, or there are several of it`,
    {
      hint: 'Push this file from pg_wal of a server on that timeline, or name another timeline with "--target-timeline".',
    },
  )
}

function listedBackup(label: BackupLabel, backups: readonly BackupEntry[]): BackupEntry {
  const backup = backups.find((candidate) => candidate.label === label)
  if (backup !== undefined) return backup
  throw new OperationError(
    'target-unreachable',
    `restoring from backup ${label}: the repository lists no such backup`,
    {
      hint: 'See what there is with "holdfast info".',
    },
  )
}

function noneFits({ target, ...request }: RouteRequest, facts: RouteFacts): OperationError {
  const { backups } = facts
  const [first] = backups.toSorted((one, other) => Number(one.stoppedAt - other.stoppedAt))
  if (first === undefined) {
    return new OperationError(
      'target-unreachable',
      'choosing a backup: expected one in the repository, found none',
      {
        hint: 'Take one with "holdfast backup".',
      },
    )
  }
  const reasons = backups.map(
    (backup) => `${backup.label}: ${whyNot(backup, { target, ...request }, facts) ?? 'fits'}`,
  )
  const shown = reasons.slice(-3).join('; ')
  return new OperationError(
    'target-unreachable',
    `choosing a backup for the target: none of ${backups.length} leads to it (${shown})`,
    {
      hint: `The first moment that can be reached is ${formatInstant(first.stoppedAt)}, LSN ${formatLsn(first.stopLsn)}.`,
    },
  )
}

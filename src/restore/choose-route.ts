import assert from 'node:assert/strict'
import type { BackupLabel } from '../domain/backup-label.ts'
import { formatLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import { formatInstant } from '../domain/target-time.ts'
import { isReachable, timelineSpans, type TimelineHistory } from '../domain/timeline-history.ts'
import { formatTimelineHex, type TimelineId } from '../domain/timeline.ts'
import type { TimelineCoverage } from '../domain/wal-gaps.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { branchEnds, newestTimeline, type BranchEnd } from './branch-ends.ts'

/** The backup that a restore begins with, and the timelines that its recovery follows. */
export interface Route {
  readonly backup: ListedBackup
  readonly history: TimelineHistory
}

/** What is known of backups and timelines, without reading any content. */
export interface RouteFacts {
  /** Oldest first. */
  readonly backups: readonly ListedBackup[]
  readonly timelines: readonly TimelineCoverage[]
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>
  /** Why the history of a timeline is not among them although there is one. */
  readonly unreadableHistories: ReadonlyMap<TimelineId, OperationError>
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
  const [newest] = possibleRoutes(request, facts)
  if (newest === undefined) throw noneFits(request, facts, undefined)
  return newest
}

/** Every route that may lead to the target, newest backup first; at least one. Throws what `chooseRoute` throws. */
export function possibleRoutes(request: RouteRequest, facts: RouteFacts): readonly Route[] {
  const { label } = request
  if (label !== undefined) return [routeFrom(listedBackup(label, facts.backups), request, facts)]
  const fitting = facts.backups.filter((backup) => whyUnfit(backup, request) === undefined).toReversed()
  if (fitting.length === 0) throw noneFits(request, facts, undefined)
  if (isOnOwnTimeline(request.target)) return ownRoutes(fitting, request, facts)
  const history = askedHistory(request.target, facts) ?? onlyBranch(branchEnds(facts), request, facts)
  const routes = fitting.filter((backup) => leadsTo(history, backup)).map((backup) => ({ backup, history }))
  if (routes.length === 0) throw noneFits(request, facts, history)
  return routes
}

function routeFrom(backup: ListedBackup, request: RouteRequest, facts: RouteFacts): Route {
  const unfit = whyUnfit(backup, request)
  if (unfit !== undefined) throw doesNotFit(backup, unfit)
  const history = isOnOwnTimeline(request.target)
    ? ownHistory(backup, request, facts)
    : (askedHistory(request.target, facts) ?? onlyBranch(endsBehind(backup, facts), request, facts))
  if (!leadsTo(history, backup)) throw doesNotFit(backup, whyPassedBy(backup, history))
  return { backup, history }
}

/**
 * Routes that end on the timeline of their backup. There, too, the newest backup may be on a branch that was abandoned,
 * so that every branch must lead to the same.
 */
function ownRoutes(
  fitting: readonly ListedBackup[],
  request: RouteRequest,
  facts: RouteFacts,
): readonly Route[] {
  const isAtBackup = request.target.kind === 'immediate'
  const newestOf = ({ history }: BranchEnd): ListedBackup | undefined =>
    history && fitting.find((backup) => leadsTo(history, backup))
  const ends = differing(branchEnds(facts), (end) => {
    const newest = newestOf(end)
    if (newest === undefined) return `behind no backup: ${end.timeline}`
    return isAtBackup ? newest.label : String(newest.timeline)
  })
  if (ends.length > 1) throw severalBranches(ends)
  const newest = ends.map(newestOf).find((backup) => backup !== undefined) ?? fitting[0]
  return fitting
    .filter(({ label, timeline }) => (isAtBackup ? label === newest?.label : timeline === newest?.timeline))
    .map((backup) => ({ backup, history: ownHistory(backup, request, facts) }))
}

/**
 * The way to the end of a backup begins and ends on its timeline, so that a history that is simply not there is not missed.
 * One that is there and cannot be used would be in the way of the recovery.
 */
function ownHistory(
  { timeline }: ListedBackup,
  { target }: RouteRequest,
  facts: RouteFacts,
): TimelineHistory {
  const { histories, unreadableHistories } = facts
  const isMissing = !histories.has(timeline) && !unreadableHistories.has(timeline)
  return target.kind === 'immediate' && isMissing ? { timeline, ancestors: [] } : historyOf(timeline, facts)
}

/** A backup is consistent on its own timeline; whatever grew out of it does not matter. */
function isOnOwnTimeline({ kind, timeline }: RecoveryTarget): boolean {
  return timeline === 'current' || (kind === 'immediate' && timeline === undefined)
}

/** The history of the timeline that was asked for; undefined when it follows from the branches. */
function askedHistory({ timeline }: RecoveryTarget, facts: RouteFacts): TimelineHistory | undefined {
  if (timeline === undefined || timeline === 'current') return undefined
  return historyOf(timeline === 'latest' ? newestTimeline(facts) : timeline, facts)
}

/** The branches that may have come out of the backup. */
function endsBehind(backup: ListedBackup, facts: RouteFacts): readonly BranchEnd[] {
  return branchEnds(facts).filter(({ timeline, history }) =>
    history === undefined ? timeline >= backup.timeline : leadsTo(history, backup),
  )
}

/** The one way that the target can mean. Several ways are the operator's to choose between (R37). */
function onlyBranch(ends: readonly BranchEnd[], request: RouteRequest, facts: RouteFacts): TimelineHistory {
  const lsn = request.target.kind === 'lsn' ? request.target.lsn : request.locatedLsn
  const ways = differing(ends, ({ timeline, history }) => wayTo(lsn, history) ?? String(timeline))
  if (ways.length > 1) throw severalBranches(ends)
  const [end] = ways
  assert.ok(end, 'a backup lies on a branch')
  return historyOf(end.timeline, facts)
}

/** What is the same for branches that part behind `lsn`. */
function wayTo(lsn: Lsn | undefined, history: TimelineHistory | undefined): string | undefined {
  if (lsn === undefined || history === undefined) return undefined
  return timelineSpans(history)
    .filter(({ startLsn }) => startLsn <= lsn)
    .map(({ timeline, startLsn }) => `from ${startLsn} on ${timeline}`)
    .join()
}

/** The first of each kind. */
function differing(ends: readonly BranchEnd[], kindOf: (end: BranchEnd) => string): readonly BranchEnd[] {
  return [...Map.groupBy(ends, kindOf).values()].flatMap((same) => same.slice(0, 1))
}

function severalBranches(ends: readonly BranchEnd[]): OperationError {
  const found = ends.map(({ timeline, history, archivedTo }) => {
    const end = archivedTo === undefined ? 'nothing archived yet' : `archived to LSN ${formatLsn(archivedTo)}`
    return `${timeline} (${end}${history === undefined ? ', its history is missing or unreadable' : ''})`
  })
  const unknown = ends.find(({ history }) => history === undefined)
  // An example would lead away from the timeline that nothing is known of.
  const advice =
    unknown === undefined
      ? `, for example ${ends.at(-1)?.timeline ?? 'latest'}`
      : `; ${unknown.timeline} needs its history file, from pg_wal of a server on it`
  return new OperationError(
    'target-ambiguous',
    `choosing the timeline to recover on: expected one that the target can mean, found ${found.join(', ')}`,
    {
      hint: `Name the one that you follow with "--target-timeline"${advice}.`,
    },
  )
}

const leadsTo = (history: TimelineHistory, { timeline, stopLsn }: ListedBackup): boolean =>
  isReachable(history, { timeline, lsn: stopLsn })

/** Why this backup cannot lead to the target on any timeline; undefined when it can. */
function whyUnfit(backup: ListedBackup, request: RouteRequest): string | undefined {
  if (backup.walRetention === 'own' && request.target.kind !== 'immediate')
    return 'of the WAL behind its end nothing is kept, so it can be restored with "--target-immediate" only'
  return whyTooLate(backup, request)
}

function whyTooLate(
  { stopLsn, stoppedAt }: ListedBackup,
  { target, locatedLsn }: RouteRequest,
): string | undefined {
  const targetLsn = target.kind === 'lsn' ? target.lsn : locatedLsn
  if (target.kind === 'time' && stoppedAt > target.time) {
    return `it ended at ${formatInstant(stoppedAt)}, after the target ${formatInstant(target.time)}`
  }
  if (targetLsn !== undefined && stopLsn > targetLsn) {
    return `it ended at LSN ${formatLsn(stopLsn)}, after the target at LSN ${formatLsn(targetLsn)}`
  }
  return undefined
}

const whyPassedBy = ({ timeline, stopLsn }: ListedBackup, history: TimelineHistory): string =>
  `timeline ${history.timeline} does not pass through its end, LSN ${formatLsn(stopLsn)} on timeline ${timeline}`

function doesNotFit({ label }: ListedBackup, reason: string): OperationError {
  return new OperationError('target-unreachable', `restoring from backup ${label}: ${reason}`, {
    hint: 'Name another backup or leave "--backup" out, and the newest one that fits is taken.',
  })
}

function historyOf(
  timeline: TimelineId,
  { histories, unreadableHistories }: Pick<RouteFacts, 'histories' | 'unreadableHistories'>,
): TimelineHistory {
  const known = histories.get(timeline)
  if (known !== undefined) return known
  if (timeline === 1) return { timeline, ancestors: [] }
  const reason = unreadableHistories.get(timeline)
  if (reason !== undefined) throw reason
  const file = `${formatTimelineHex(timeline)}.history`
  throw new OperationError('wal-missing', `following timeline ${timeline}: "${file}" is not in the archive`, {
    hint: 'Push this file from pg_wal of a server on that timeline, or name another timeline with "--target-timeline".',
  })
}

function listedBackup(label: BackupLabel, backups: readonly ListedBackup[]): ListedBackup {
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

function noneFits(
  request: RouteRequest,
  { backups }: RouteFacts,
  history: TimelineHistory | undefined,
): OperationError {
  if (backups.length === 0) {
    return new OperationError(
      'target-unreachable',
      'choosing a backup: expected one in the repository, found none',
      {
        hint: 'Take one with "holdfast backup".',
      },
    )
  }
  const reasons = backups.map(
    (backup) =>
      `${backup.label}: ${whyUnfit(backup, request) ?? (history ? whyPassedBy(backup, history) : 'fits')}`,
  )
  const shown = reasons.slice(-3).join('; ')
  return new OperationError(
    'target-unreachable',
    `choosing a backup for the target: none of ${backups.length} leads to it (${shown})`,
    {
      hint: firstMoment(backups),
    },
  )
}

function firstMoment(backups: readonly ListedBackup[]): string {
  const [first] = backups
    .filter(({ walRetention }) => walRetention === 'onward')
    .toSorted((one, other) => Number(one.stoppedAt - other.stoppedAt))
  return first === undefined
    ? 'Every backup keeps only its own WAL: choose one with "--backup" and "--target-immediate".'
    : `The first moment that can be reached is ${formatInstant(first.stoppedAt)}, LSN ${formatLsn(first.stopLsn)}.`
}

import type { BackupLabel } from '../domain/backup-label.ts'
import { isReachable, timelineAt, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { LostMoments } from './damage.ts'

/** What is lost by a damage: backups wholly, and moments after backups. */
export interface DamageCost {
  readonly backups: readonly BackupLabel[]
  readonly lost: readonly LostMoments[]
}

/** WAL that cannot be read. */
export interface WalHole {
  readonly timeline: TimelineId
  readonly startLsn: Lsn
  readonly endLsn: Lsn
}

export interface CostFacts {
  /** Oldest first. */
  readonly backups: readonly ListedBackup[]
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>
}

export const costsNothing: DamageCost = { backups: [], lost: [] }

/**
 * What a hole in the WAL costs: the backups that need it to become consistent, and for those whose recovery would pass it
 * on the way to later moments, the moments from there to the end of the next backup.
 */
export function costOfWal(hole: WalHole, facts: CostFacts): DamageCost {
  const own = facts.backups.filter(
    ({ timeline, startLsn, stopLsn }) =>
      timeline === hole.timeline && startLsn < hole.endLsn && stopLsn > hole.startLsn,
  )
  return { backups: own.map(({ label }) => label), lost: lostBehind(hole, facts) }
}

function lostBehind(hole: WalHole, facts: CostFacts): readonly LostMoments[] {
  const ways = waysThrough(hole, facts)
  const passing = facts.backups.filter(
    (backup) =>
      backup.walRetention === 'onward' &&
      backup.startLsn < hole.endLsn &&
      ways.some((way) => isReachable(way, { timeline: backup.timeline, lsn: backup.stopLsn })),
  )
  const [first] = passing
  if (first === undefined) return []
  const before = passing.findLast(({ stopLsn }) => stopLsn <= hole.startLsn)
  const next = facts.backups.find(
    (backup) =>
      backup.startLsn >= hole.endLsn &&
      ways.some((way) => isReachable(way, { timeline: backup.timeline, lsn: backup.stopLsn })),
  )
  return [
    {
      timeline: hole.timeline,
      fromLsn: hole.startLsn,
      fromTime: before?.stoppedAt ?? first.startedAt,
      until: next && { backup: next.label, lsn: next.stopLsn, time: next.stoppedAt },
    },
  ]
}

/** The histories whose recovery reads the end of the hole on the hole's timeline. */
function waysThrough(
  { timeline, endLsn }: Pick<WalHole, 'timeline' | 'endLsn'>,
  { histories }: CostFacts,
): readonly TimelineHistory[] {
  const all = new Map(histories)
  if (!all.has(timeline)) all.set(timeline, { timeline, ancestors: [] })
  return [...all.values()].filter((history) => timelineAt(history, toLsn(endLsn - 1n)) === timeline)
}

/**
 * What the loss of backups costs: them, and the moments behind the first of them that no other backup from before leads
 * to.
 */
export function costOfBackups(labels: readonly BackupLabel[], facts: CostFacts): DamageCost {
  const isLost = ({ label }: ListedBackup): boolean => labels.includes(label)
  const own = facts.backups.filter(isLost)
  const first = own.find(({ walRetention }) => walRetention === 'onward')
  const cost = { backups: own.map(({ label }) => label), lost: [] }
  if (first === undefined) return cost
  const ways = waysThrough({ ...first, endLsn: first.stopLsn }, facts)
  const leadsOn = ({ timeline, stopLsn }: ListedBackup): boolean =>
    ways.some((way) => isReachable(way, { timeline, lsn: stopLsn }))
  const others = facts.backups.filter((backup) => !isLost(backup) && leadsOn(backup))
  const isPassed = others.some(
    ({ stopLsn, walRetention }) => stopLsn <= first.startLsn && walRetention === 'onward',
  )
  if (isPassed) return cost
  const next = others.find(({ stopLsn }) => stopLsn > first.stopLsn)
  return { ...cost, lost: [lostFrom(first, next)] }
}

function lostFrom(
  { timeline, stopLsn, stoppedAt }: ListedBackup,
  next: ListedBackup | undefined,
): LostMoments {
  return {
    timeline,
    fromLsn: stopLsn,
    fromTime: stoppedAt,
    until: next && { backup: next.label, lsn: next.stopLsn, time: next.stoppedAt },
  }
}

/** What a history file costs that cannot be used: the backups of its timeline, and all its moments. */
export function costOfHistory(timeline: TimelineId, { backups }: CostFacts): DamageCost {
  const own = backups.filter((backup) => backup.timeline === timeline)
  const before = backups.findLast((backup) => backup.timeline < timeline && backup.walRetention === 'onward')
  const lost = before === undefined ? [] : [{ ...lostFrom(before, own[0]), timeline }]
  return { backups: own.map(({ label }) => label), lost }
}

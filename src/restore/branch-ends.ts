import type { Lsn } from '../domain/lsn.ts'
import { isReachable, timelineSpans, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { SegmentRun, TimelineCoverage } from '../domain/wal-gaps.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { RouteFacts } from './choose-route.ts'

/** A timeline on which the cluster may have gone on for good. */
export interface BranchEnd {
  readonly timeline: TimelineId
  /** Undefined: its history is missing or cannot be read, so it may have come out of any older timeline. */
  readonly history: TimelineHistory | undefined
  /** How far its own WAL is archived; undefined when there is none. */
  readonly archivedTo: Lsn | undefined
}

/**
 * Where the WAL of the whole archive ends, by timeline: timelines that nothing forked from, those on which the server went
 * on after a fork (a copy was promoted beside it, or a recovery abandoned what came later), and those of which nothing is
 * known. One with neither WAL nor a way to it is left out: it has expired. So is one of which there is only the WAL that
 * backups keep for themselves.
 */
export function branchEnds(given: RouteFacts): readonly BranchEnd[] {
  const facts = withoutOwnWal(given)
  const origins = knownOrigins(facts)
  const family = [...origins.values()].filter((history) => history !== undefined)
  return [...origins]
    .filter(([, history]) => history === undefined || isEnd(history, family, facts))
    .map(([timeline, history]) => ({
      timeline,
      history,
      archivedTo: coverageOf(timeline, facts)?.ranges.at(-1)?.endLsn,
    }))
    .toSorted((one, other) => one.timeline - other.timeline)
}

/** The greatest timeline that anything in the archive belongs to. */
export function newestTimeline(facts: RouteFacts): TimelineId {
  return [...knownOrigins(facts).keys()].reduce((newest, timeline) => (timeline > newest ? timeline : newest))
}

/** Every timeline that there is a trace of, with where it comes from as far as that is known. */
function knownOrigins(facts: RouteFacts): ReadonlyMap<TimelineId, TimelineHistory | undefined> {
  const { histories, unreadableHistories } = facts
  const origins = new Map<TimelineId, TimelineHistory | undefined>(histories)
  for (const history of histories.values()) {
    for (const [index, { timeline }] of history.ancestors.entries()) {
      // The history of a descendant begins with a copy; but of two servers' timelines it tells one.
      const isTold = unreadableHistories.get(timeline)?.code !== 'target-ambiguous'
      if (isTold && !origins.has(timeline))
        origins.set(timeline, { timeline, ancestors: history.ancestors.slice(0, index) })
    }
  }
  const named = [
    ...unreadableHistories.keys(),
    ...facts.timelines.filter(({ ranges }) => ranges.length > 0).map(({ timeline }) => timeline),
    ...facts.backups.map(({ timeline }) => timeline),
  ]
  for (const timeline of named) {
    if (!origins.has(timeline))
      origins.set(timeline, timeline === 1 ? { timeline, ancestors: [] } : undefined)
  }
  return origins
}

function isEnd(member: TimelineHistory, family: readonly TimelineHistory[], facts: RouteFacts): boolean {
  const { timeline } = member
  const forks = family.flatMap((other) =>
    other.timeline === timeline ? [] : (spanEnd(other, timeline) ?? []),
  )
  const last = forks.reduce<Lsn | undefined>(
    (latest, fork) => (latest === undefined || fork > latest ? fork : latest),
    undefined,
  )
  if (last !== undefined) return goesOnBehind(timeline, last, facts)
  return (
    (coverageOf(timeline, facts)?.ranges.length ?? 0) > 0 ||
    facts.backups.some((backup) => isReachable(member, { timeline: backup.timeline, lsn: backup.stopLsn }))
  )
}

/** Where a history leaves the timeline; undefined when it does not pass through it. */
function spanEnd(history: TimelineHistory, timeline: TimelineId): Lsn | undefined {
  return timelineSpans(history).find((span) => span.timeline === timeline)?.endLsn
}

function goesOnBehind(timeline: TimelineId, fork: Lsn, facts: RouteFacts): boolean {
  if (facts.backups.some((backup) => backup.timeline === timeline && backup.stopLsn > fork)) return true
  // The segment of the fork itself is on both: the old timeline's may have been filled up by a switch.
  return (
    coverageOf(timeline, facts)?.ranges.some(
      ({ endLsn, startLsn, count }) => endLsn - (endLsn - startLsn) / count >= fork,
    ) ?? false
  )
}

function coverageOf(timeline: TimelineId, { timelines }: RouteFacts): TimelineCoverage | undefined {
  return timelines.find((candidate) => candidate.timeline === timeline)
}

/** What leads onward: without backups that keep only their own WAL, and without that WAL. */
function withoutOwnWal(facts: RouteFacts): RouteFacts {
  const own = facts.backups.filter(({ walRetention }) => walRetention === 'own')
  if (own.length === 0) return facts
  return {
    ...facts,
    backups: facts.backups.filter(({ walRetention }) => walRetention === 'onward'),
    timelines: facts.timelines.map((coverage) => ({
      ...coverage,
      ranges: coverage.ranges.filter((range) => !isOwnWal(range, coverage.timeline, own)),
    })),
  }
}

/** Whether a range is made of nothing but segments from the starts to the stops of these backups. */
function isOwnWal(range: SegmentRun, timeline: TimelineId, own: readonly ListedBackup[]): boolean {
  const segmentSize = (range.endLsn - range.startLsn) / range.count
  let coveredTo: bigint = range.startLsn
  for (const { startLsn, stopLsn } of own
    .filter((backup) => backup.timeline === timeline)
    .toSorted((one, other) => Number(one.startLsn - other.startLsn))) {
    const from = (startLsn / segmentSize) * segmentSize
    const to = ((stopLsn + segmentSize - 1n) / segmentSize) * segmentSize
    if (from <= coveredTo && to > coveredTo) coveredTo = to
  }
  return coveredTo >= range.endLsn
}

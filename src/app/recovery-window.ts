import type { ArchiveInventory } from '../archive/archive-inventory.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { instantFromPostgres, type Instant } from '../domain/target-time.ts'
import { isReachable, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { BackupEntry, ListedBackup } from '../repository/backup-entry.ts'
import { branchEnds } from '../restore/branch-ends.ts'
import type { Route } from '../restore/choose-route.ts'
import { fetchAll } from '../restore/read-archive-end.ts'
import { followWal, segmentsBackwards, type ArchivedNames, type WalRoute } from '../restore/wal-route.ts'
import { summarizeSegments } from '../wal/segment-summary.ts'

/** Moments that can be reached now: from the end of a backup along one timeline as far as the WAL goes without a hole. */
export interface RecoveryWindow {
  /** The timeline that recovery ends on. */
  readonly timeline: TimelineId
  /** The oldest backup that leads into it; its end is the earliest moment. */
  readonly oldest: BackupEntry
  /** The end of the last whole record; undefined when it could not be read. */
  readonly toLsn: Lsn | undefined
  /** The newest commit that is archived; undefined when the newest segments hold none. */
  readonly toTime: Instant | undefined
  /** True: the archive goes on behind a hole that nothing passes. */
  readonly hasGap: boolean
}

export interface RecoveryReach {
  /** Newest timelines last. */
  readonly windows: readonly RecoveryWindow[]
  /** Labels of listed backups whose own WAL is not all there: they cannot be restored. */
  readonly unrestorable: ReadonlySet<string>
}

interface Reach {
  readonly route: Route
  readonly walRoute: WalRoute
  /** False: only the own end of the backup can be reached. */
  readonly isOnward: boolean
}

type Listed = Readonly<{ backups: readonly ListedBackup[]; inventory: ArchiveInventory }>

/** Finds out what can be reached from the listed backups. Reads the newest WAL; throws nothing about its contents. */
export async function findRecoveryReach(
  listed: Listed,
  place: ArchivePlace,
  context: RunContext,
): Promise<RecoveryReach> {
  const archived = archivedNames(listed.inventory)
  const groups = Map.groupBy(
    completeReaches(listed, place).filter(({ isOnward }) => isOnward),
    ({ route, walRoute }) => `${route.history.timeline} ${walRoute.endLsn}`,
  )
  const windows: RecoveryWindow[] = []
  for (const [first] of groups.values()) {
    if (first !== undefined) windows.push(await describeWindow(first, { archived, place }, context))
  }
  return { windows, unrestorable: findUnrestorable(listed, place) }
}

/** Labels of listed backups whose own WAL, from the start to the stop, is not all in the archive. */
export function findUnrestorable(listed: Listed, place: ArchivePlace): ReadonlySet<BackupLabel> {
  const restorable = new Set(completeReaches(listed, place).map(({ route }) => route.backup.label))
  return new Set(listed.backups.map(({ label }) => label).filter((label) => !restorable.has(label)))
}

/** Every way from a backup that has all its own WAL. One that keeps only that leads to its own end on its own timeline. */
function completeReaches({ backups, inventory }: Listed, { cluster }: ArchivePlace): readonly Reach[] {
  const { histories, timelines } = inventory
  const archived = archivedNames(inventory)
  const follow = (route: Route, isOnward: boolean): Reach => ({
    route,
    isOnward,
    walRoute: followWal(route, archived, cluster.walSegmentSize),
  })
  const ends = branchEnds({ backups, histories, timelines, unreadableHistories: new Map() })
  const onward = ends.flatMap(({ history }) =>
    history === undefined
      ? []
      : backups
          .filter(({ walRetention }) => walRetention === 'onward')
          .filter(({ timeline, stopLsn }) => isReachable(history, { timeline, lsn: stopLsn }))
          .map((backup) => follow({ backup, history }, true)),
  )
  const own = backups
    .filter(({ walRetention }) => walRetention === 'own')
    .map((backup) => follow({ backup, history: ownHistory(backup, histories) }, false))
  return [...onward, ...own].filter(({ route, walRoute }) => walRoute.endLsn >= route.backup.stopLsn)
}

/** Between its start and its stop a backup is on its own timeline: what that came out of does not matter. */
function ownHistory(
  { timeline }: BackupEntry,
  histories: ReadonlyMap<TimelineId, TimelineHistory>,
): TimelineHistory {
  return histories.get(timeline) ?? { timeline, ancestors: [] }
}

function archivedNames({ hasSegment, conflicts, timelines }: ArchiveInventory): ArchivedNames {
  return { hasSegment, timelines, conflicts: new Set(conflicts.map(({ name }) => name.name)) }
}

async function describeWindow(
  { route, walRoute }: Pick<Reach, 'route' | 'walRoute'>,
  tools: { readonly archived: ArchivedNames; readonly place: ArchivePlace },
  context: RunContext,
): Promise<RecoveryWindow> {
  const window = { timeline: route.history.timeline, oldest: route.backup, hasGap: walRoute.hasGap }
  try {
    return { ...window, ...(await readEnd({ route, walRoute }, tools, context)) }
  } catch (error) {
    context.signal.throwIfAborted()
    const message = error instanceof Error ? error.message : String(error)
    context.report({ kind: 'warning', message: `the end of the recovery window is not known: ${message}` })
    return { ...window, toLsn: undefined, toTime: undefined }
  }
}

/** So much of the newest WAL is read to find a commit; a server that archives is seldom idle for longer. */
const mostSegments = 8
const mostBytes = 128 * 1024 * 1024

async function readEnd(
  { route, walRoute }: Pick<Reach, 'route' | 'walRoute'>,
  { archived, place }: { readonly archived: ArchivedNames; readonly place: ArchivePlace },
  context: RunContext,
): Promise<Pick<RecoveryWindow, 'toLsn' | 'toTime'>> {
  const segmentSize = place.cluster.walSegmentSize
  const most = Math.max(1, Math.min(mostSegments, Math.floor(mostBytes / segmentSize)))
  const newest = [...segmentsBackwards(route, { archived, walRoute, segmentSize }).take(most)].toReversed()
  for (let count = 1; ; count *= 2) {
    const summary = await summarizeSegments(fetchAll(newest.slice(-count), place, context))
    const { lastRecordEndLsn: toLsn, latestCommitTime: time } = summary
    const toTime = time === undefined ? undefined : instantFromPostgres(time)
    if (count >= newest.length || (toLsn !== undefined && toTime !== undefined)) return { toLsn, toTime }
  }
}

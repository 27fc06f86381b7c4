import type { ArchiveInventory, ArchiveSurvey } from '../archive/archive-inventory.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { historyFileName } from '../domain/archive-file-name.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { Lsn } from '../domain/lsn.ts'
import { isReachable, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { branchEnds, type BranchEnd } from '../restore/branch-ends.ts'
import type { Route } from '../restore/choose-route.ts'
import { followWal, type ArchivedNames, type WalRoute } from '../restore/wal-route.ts'

/** A way from a backup, and how far its WAL leads. */
export interface Reach {
  readonly route: Route
  readonly walRoute: WalRoute
}

export interface BackupReaches {
  /** Every way along which moments behind a backup can be reached: all of the backup's own WAL is there. */
  readonly onward: readonly Reach[]
  /** Backups of whose own WAL, from the start to the stop, something is missing or has several contents. */
  readonly walMissing: ReadonlySet<BackupLabel>
  /** Backups of which nobody can tell, because the history of their timeline is not there or not usable, and why. */
  readonly unknown: ReadonlyMap<BackupLabel, string>
}

export interface ListedArchive {
  readonly backups: readonly ListedBackup[]
  readonly inventory: ArchiveInventory & Partial<Pick<ArchiveSurvey, 'unreadableHistories'>>
}

/**
 * Where each listed backup leads, as far as names tell. Every judgement of what can be restored, what forgetting costs and
 * what may expire is made from this, so that they agree.
 */
export function findReaches(listed: ListedArchive, place: ArchivePlace): BackupReaches {
  const follow = createFollower(listed, place)
  const ends = endsOf(listed)
  const onward: Reach[] = []
  const walMissing = new Set<BackupLabel>()
  const unknown = new Map<BackupLabel, string>()
  for (const backup of listed.backups) {
    const leads = backup.walRetention === 'onward' ? branchesThrough(backup, ends).map(follow) : []
    onward.push(...leads.filter(hasOwnWal))
    const own = ownHistory(backup, listed)
    const ways = own === undefined ? leads : [...leads, follow({ backup, history: own })]
    if (ways.some(hasOwnWal)) continue
    if (ways.length === 0) unknown.set(backup.label, whyUnknown(backup, listed))
    else walMissing.add(backup.label)
  }
  return { onward, walMissing, unknown }
}

/** Where the WAL of the archive ends. */
export function endsOf({ backups, inventory }: ListedArchive): readonly BranchEnd[] {
  const { histories, timelines, unreadableHistories = new Map() } = inventory
  return branchEnds({ backups, histories, timelines, unreadableHistories })
}

/** How far the WAL leads from a backup to each timeline. */
export function reachByTimeline(
  reaches: readonly Reach[],
): (label: BackupLabel, timeline: TimelineId) => Lsn | undefined {
  const known = new Map(
    reaches.map(({ route, walRoute: { endLsn, conflict } }) => [
      `${route.backup.label} ${route.history.timeline}`,
      conflict?.startLsn ?? endLsn,
    ]),
  )
  return (label, timeline) => known.get(`${label} ${timeline}`)
}

function createFollower({ inventory }: ListedArchive, { cluster }: ArchivePlace): (route: Route) => Reach {
  const archived = archivedNames(inventory)
  return (route) => ({ route, walRoute: followWal(route, archived, cluster.walSegmentSize) })
}

export function archivedNames({ hasSegment, conflicts, timelines }: ArchiveInventory): ArchivedNames {
  return { hasSegment, timelines, conflicts: new Set(conflicts.map(({ name }) => name.name)) }
}

function branchesThrough(backup: ListedBackup, ends: readonly BranchEnd[]): readonly Route[] {
  return ends.flatMap(({ history }) =>
    history !== undefined && isReachable(history, { timeline: backup.timeline, lsn: backup.stopLsn })
      ? [{ backup, history }]
      : [],
  )
}

/** As `restore` requires it: everything to the stop, with one content. */
function hasOwnWal({ route: { backup }, walRoute: { endLsn, conflict } }: Reach): boolean {
  return endLsn >= backup.stopLsn && (conflict === undefined || conflict.startLsn >= backup.stopLsn)
}

/**
 * Between its start and its stop a backup is on its own timeline: where that came from does not matter, unless there is
 * something that says so and cannot be read, which recovery would stumble over. For one that leads onward it does matter.
 */
function ownHistory(
  { timeline, walRetention }: ListedBackup,
  { inventory }: ListedArchive,
): TimelineHistory | undefined {
  const known = inventory.histories.get(timeline)
  if (known !== undefined || timeline === 1) return known ?? { timeline, ancestors: [] }
  if (walRetention === 'onward' || isUnreadable(timeline, inventory)) return undefined
  return { timeline, ancestors: [] }
}

function isUnreadable(
  timeline: TimelineId,
  { unreadableHistories, conflicts }: ListedArchive['inventory'],
): boolean {
  if (unreadableHistories?.has(timeline) === true) return true
  return conflicts.some(({ name }) => name.kind === 'history' && name.timeline === timeline)
}

function whyUnknown({ timeline }: ListedBackup, { inventory }: ListedArchive): string {
  const error = inventory.unreadableHistories?.get(timeline)
  if (error !== undefined) return error.message
  return isUnreadable(timeline, inventory)
    ? `${historyFileName(timeline)} has several contents`
    : `${historyFileName(timeline)} is not in the archive`
}

import type { ArchivePlace } from '../archive/archive-place.ts'
import type { Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { instantFromPostgres, type Instant } from '../domain/target-time.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { fetchAll } from '../restore/read-archive-end.ts'
import { segmentsBackwards, type ArchivedNames } from '../restore/wal-route.ts'
import { archivedNames, findReaches, type ListedArchive, type Reach } from './backup-reach.ts'
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
  /** Labels of listed backups that cannot be restored as far as is known: their own WAL is not all there, or their history. */
  readonly unrestorable: ReadonlySet<string>
}

/** Finds out what can be reached from the listed backups. Reads the newest WAL; throws nothing about its contents. */
export async function findRecoveryReach(
  listed: ListedArchive,
  place: ArchivePlace,
  context: RunContext,
): Promise<RecoveryReach> {
  const archived = archivedNames(listed.inventory)
  const { onward, walMissing, unknown } = findReaches(listed, place)
  const groups = Map.groupBy(onward, ({ route, walRoute }) => `${route.history.timeline} ${walRoute.endLsn}`)
  const windows: RecoveryWindow[] = []
  // Newest timelines last, and of each the oldest backup first.
  const firsts = [...groups.values()].flatMap((group) => group.slice(0, 1))
  for (const first of firsts.toSorted(
    (one, other) => one.route.history.timeline - other.route.history.timeline,
  ))
    windows.push(await describeWindow(first, { archived, place }, context))
  return { windows, unrestorable: new Set([...walMissing, ...unknown.keys()]) }
}

async function describeWindow(
  { route, walRoute }: Reach,
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
  { route, walRoute }: Reach,
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

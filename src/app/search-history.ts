import { findNewestTimeline, surveyArchive, type ArchiveSurvey } from '../archive/archive-inventory.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { loadInstead, requirePhysical } from '../config/require-physical.ts'
import { selectCluster } from '../config/select-configured.ts'
import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import { timelineSpans } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import {
  findAccidents,
  type Accident,
  type FindRequest,
  type FoundAccidents,
} from '../history/find-accidents.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import { findReaches, type Reach } from './backup-reach.ts'
import { openCluster, type ClusterSelection } from './open-cluster.ts'

type Wanted = Omit<FindRequest, 'history' | 'from' | 'to' | 'hasSegment'>

export interface SearchRequest extends ClusterSelection, Wanted {
  /** Undefined: the newest one that the newest backup leads to. */
  readonly timeline: TimelineId | undefined
}

/** How to come to the moment before a transaction. */
export interface WayBack {
  readonly backup: ListedBackup
  /** Its first record, which is the target, exclusive. */
  readonly lsn: Lsn
  readonly timeline: TimelineId
  /** Whether the archive has several branches, so that the timeline must be named. */
  readonly isTimelineNeeded: boolean
}

export interface SearchedHistory extends FoundAccidents {
  readonly cluster: string
  readonly repo: string
  readonly timeline: TimelineId
  readonly from: Lsn
  readonly to: Lsn
  /** Undefined: no backup leads there. */
  readonly wayBack: (accident: Accident) => WayBack | undefined
}

/** Looks for what was done to the data, along one timeline of one repository. Throws `wal-missing` when nothing is archived. */
export async function searchHistory(request: SearchRequest, context: RunContext): Promise<SearchedHistory> {
  requirePhysical(selectCluster(request.configuration, request.clusterName), {
    doing: 'looking through the WAL of',
    hint: `Only WAL tells what was done to the data. ${loadInstead}`,
  })
  await using opened = await openCluster(request, context)
  const [place] = opened.repositories
  const { backups } = await readCatalogue(place.repository, place.cluster.id, context)
  const inventory = await surveyArchive(place, context)
  const history = chooseHistory(request, { backups, inventory })
  const { from, to } = stretchOf(history, { backups, inventory, place, since: request.since })
  const { hasSegment } = inventory
  const found = await findAccidents({ ...request, history, from, to, hasSegment }, place, context)
  const { onward } = findReaches({ backups, inventory }, place)
  const { timeline } = history
  const isTimelineNeeded = inventory.timelines.length > 1
  return {
    ...found,
    cluster: opened.settings.name,
    repo: place.name,
    timeline,
    from,
    to,
    wayBack: ({ firstLsn }) => {
      const backup = firstLsn && backupBefore(firstLsn, timeline, onward)
      return backup && { backup, lsn: firstLsn, timeline, isTimelineNeeded }
    },
  }
}

interface Known {
  readonly backups: readonly ListedBackup[]
  readonly inventory: ArchiveSurvey
}

function chooseHistory({ timeline: asked }: SearchRequest, { backups, inventory }: Known): TimelineHistory {
  const { histories, unreadableHistories, newestTimeline } = inventory
  const newestBackup = backups.at(-1)
  const timeline =
    asked ??
    (newestBackup === undefined ? newestTimeline : findNewestTimeline(inventory, newestBackup.timeline))
  if (timeline === undefined) {
    throw new OperationError('wal-missing', 'looking through the WAL: nothing is archived yet', {
      hint: 'Run "holdfast check": it says what keeps the server from archiving.',
    })
  }
  const history = histories.get(timeline)
  if (history !== undefined) return history
  if (timeline === 1) return { timeline, ancestors: [] }
  throw (
    unreadableHistories.get(timeline) ??
    new OperationError(
      'target-unreachable',
      `looking through timeline ${timeline}: its history file is not archived`,
      {
        hint: 'Name another one with "--timeline", or push the history file from pg_wal of a server on it.',
      },
    )
  )
}

interface Bounds extends Known {
  readonly place: ArchivePlace
  readonly since: FindRequest['since']
}

/**
 * What is to be read: from the first segment along the way, or with `since` from the newest backup before it, to the end
 * of the archive.
 */
function stretchOf(
  history: TimelineHistory,
  { backups, inventory, place, since }: Bounds,
): { readonly from: Lsn; readonly to: Lsn } {
  const size = BigInt(place.cluster.walSegmentSize)
  const spans = timelineSpans(history)
  const archived = inventory.timelines.flatMap(({ timeline, ranges }) => {
    const span = spans.find((each) => each.timeline === timeline)
    return span === undefined ? [] : ranges.filter(({ endLsn }) => endLsn > span.startLsn)
  })
  const first = archived.map(({ startLsn }) => startLsn).reduce(smaller, undefined)
  const last = archived.map(({ endLsn }) => endLsn).reduce(greater, undefined)
  if (first === undefined || last === undefined) {
    throw new OperationError(
      'wal-missing',
      `looking through timeline ${history.timeline}: nothing of it is archived`,
      {
        hint: 'Name another one with "--timeline".',
      },
    )
  }
  const base = backups.findLast(({ stoppedAt }) => since !== undefined && stoppedAt < since)
  const from = base !== undefined && base.startLsn > first && isOnWay(base, spans) ? base.startLsn : first
  return { from: toLsn((from / size) * size), to: last }
}

const isOnWay = ({ timeline, startLsn }: ListedBackup, spans: ReturnType<typeof timelineSpans>): boolean =>
  spans.findLast((span) => span.startLsn <= startLsn)?.timeline === timeline

const smaller = (one: Lsn | undefined, other: Lsn): Lsn => (one === undefined || other < one ? other : one)
const greater = (one: Lsn | undefined, other: Lsn): Lsn => (one === undefined || other > one ? other : one)

/** The newest backup that ends before and whose WAL leads there. */
function backupBefore(lsn: Lsn, timeline: TimelineId, reaches: readonly Reach[]): ListedBackup | undefined {
  return reaches
    .filter(
      ({ route, walRoute }) =>
        route.history.timeline === timeline && route.backup.stopLsn <= lsn && walRoute.endLsn > lsn,
    )
    .map(({ route }) => route.backup)
    .toSorted((one, other) => Number(one.stopLsn > other.stopLsn) - Number(one.stopLsn < other.stopLsn))
    .at(-1)
}

/** Options of `restore` that lead there, beside the directory. */
export function restoreOptions({ lsn, timeline, isTimelineNeeded }: WayBack): readonly string[] {
  const options = ['--target-lsn', formatLsn(lsn), '--target-exclusive']
  return isTimelineNeeded ? [...options, '--target-timeline', String(timeline)] : options
}

import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import { findWalGaps, type TimelineCoverage } from '../domain/wal-gaps.ts'
import { parseSegmentName, type WalSegmentName, type WalSegmentSize } from '../domain/wal-segment.ts'
import { walPrefix } from '../repository/object-keys.ts'
import type { ArchivePlace } from './archive-place.ts'
import { isAboutObject } from './object-trouble.ts'
import { SegmentRuns } from './segment-runs.ts'
import { readOnlyGood } from './timeline-histories.ts'
import { parseWalObjectKey } from './wal-object-key.ts'

/** Everything that is archived of one cluster in one repository, as far as names tell; contents are not read. */
export interface ArchiveInventory {
  /** Per timeline, ascending: the ranges of segments that are there, and those that are missing in between (R28). */
  readonly timelines: readonly TimelineCoverage[]
  /** Names with several contents. */
  readonly conflicts: readonly ArchivedName[]
  readonly partials: readonly ArchivedName[]
  /** One of each timeline that has exactly one good content of its history. Timeline 1 has none. */
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>
  /** The greatest timeline that anything here belongs to; undefined when nothing is archived. */
  readonly newestTimeline: TimelineId | undefined
  readonly storedBytes: number
  /** Whether a segment is there completely. */
  readonly hasSegment: (name: WalSegmentName) => boolean
}

/** One name and the digests of the contents archived under it. */
interface ArchivedName {
  readonly name: ArchiveFileName
  readonly digests: readonly string[]
}

/** An inventory that may lack histories, and why. */
export interface ArchiveSurvey extends ArchiveInventory {
  /** Of each timeline whose history cannot be used: it has several good contents (`target-ambiguous`), or none. */
  readonly unreadableHistories: ReadonlyMap<TimelineId, OperationError>
}

/**
 * Reads the inventory out of a listing, in memory that grows with the gaps and not with the segments. Throws what is
 * wrong with a history that cannot be used, unless it is only ambiguous.
 */
export async function readArchiveInventory(
  place: ArchivePlace,
  context: RunContext,
): Promise<ArchiveInventory> {
  const { unreadableHistories, ...inventory } = await surveyArchive(place, context)
  for (const error of unreadableHistories.values()) if (error.code !== 'target-ambiguous') throw error
  return inventory
}

/** The inventory for those who may do without some of the histories: what is wrong with one is told and not thrown. */
export async function surveyArchive(place: ArchivePlace, context: RunContext): Promise<ArchiveSurvey> {
  const listed = await readListing(place, context)
  const conflicts = listed.named.filter(({ digests }) => digests.length > 1)
  const { histories, unreadableHistories } = await readHistories(listed.named, place, context)
  const segmentSize = place.cluster.walSegmentSize
  const timelines = findWalGaps({
    segments: new Map([...listed.segments].map(([timeline, runs]) => [timeline, runs.numbers()])),
    histories: histories.values(),
    segmentSize,
  })
  return {
    timelines,
    conflicts,
    histories,
    unreadableHistories,
    partials: listed.named.filter(({ name }) => name.kind === 'partial'),
    newestTimeline: listed.newestTimeline,
    storedBytes: listed.storedBytes,
    hasSegment: (name) => {
      const { timeline, number } = parseSegmentName(name, segmentSize)
      return listed.segments.get(timeline)?.has(number) ?? false
    },
  }
}

interface Listing {
  readonly segments: Map<TimelineId, SegmentRuns>
  /** Every name that is not a segment with a single content. */
  readonly named: ArchivedName[]
  newestTimeline: TimelineId | undefined
  storedBytes: number
}

async function readListing({ repository, cluster }: ArchivePlace, context: RunContext): Promise<Listing> {
  const listing: Listing = { segments: new Map(), named: [], newestTimeline: undefined, storedBytes: 0 }
  let current: { name: ArchiveFileName; digests: string[] } | undefined
  for await (const { key, sizeBytes } of repository.store.list(walPrefix(cluster.id), context)) {
    listing.storedBytes += sizeBytes
    const object = parseWalObjectKey(cluster.id, key)
    // Objects that another version put there are not ours to judge; parts count when their ".00" is there.
    if (object?.part !== 0) continue
    if (current?.name.name === object.name.name) {
      current.digests.push(object.digest)
      continue
    }
    if (current !== undefined) addName(listing, current, cluster.walSegmentSize)
    current = { name: object.name, digests: [object.digest] }
  }
  if (current !== undefined) addName(listing, current, cluster.walSegmentSize)
  return listing
}

function addName(listing: Listing, found: ArchivedName, segmentSize: WalSegmentSize): void {
  const { name, digests } = found
  if (listing.newestTimeline === undefined || name.timeline > listing.newestTimeline) {
    listing.newestTimeline = name.timeline
  }
  if (name.kind !== 'segment' || digests.length > 1) listing.named.push(found)
  if (name.kind !== 'segment') return
  const runs = listing.segments.get(name.timeline) ?? new SegmentRuns()
  runs.add(parseSegmentName(name.name, segmentSize).number)
  listing.segments.set(name.timeline, runs)
}

async function readHistories(
  named: readonly ArchivedName[],
  place: ArchivePlace,
  context: RunContext,
): Promise<Pick<ArchiveSurvey, 'histories' | 'unreadableHistories'>> {
  const histories = new Map<TimelineId, TimelineHistory>()
  const unreadableHistories = new Map<TimelineId, OperationError>()
  for (const archived of named) {
    const { name } = archived
    if (name.kind !== 'history') continue
    const history = await readHistory({ name, digests: archived.digests }, place, context)
    if (history instanceof OperationError) unreadableHistories.set(name.timeline, history)
    else histories.set(name.timeline, history)
  }
  return { histories, unreadableHistories }
}

/** The history, or what is wrong with it. Throws when it could not be found out. */
async function readHistory(
  archived: Parameters<typeof readOnlyGood>[0],
  place: ArchivePlace,
  context: RunContext,
): Promise<TimelineHistory | OperationError> {
  try {
    return await readOnlyGood(archived, place, context)
  } catch (error) {
    if (isAboutObject(error)) return error
    throw error
  }
}

/**
 * The youngest timeline that grew out of `timeline`, itself included: what `recovery_target_timeline=latest` leads to
 * (R37). Timelines whose history does not pass through it are not followed.
 */
export function findNewestTimeline(
  { histories }: Pick<ArchiveInventory, 'histories'>,
  timeline: TimelineId,
): TimelineId {
  let newest = timeline
  for (const [candidate, { ancestors }] of histories) {
    if (candidate > newest && ancestors.some((ancestor) => ancestor.timeline === timeline)) newest = candidate
  }
  return newest
}

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

/**
 * The inventory for those who may do without some of the histories: what is wrong with one is told and not thrown. Where
 * repositories are mixed it is of all that could be opened: what the first one has of a name counts.
 */
export async function surveyArchive(place: ArchivePlace, context: RunContext): Promise<ArchiveSurvey> {
  const others = place.spares?.areMixed === true ? (await place.spares.open()).places : []
  const archives = [await readArchive(place, context)]
  for (const other of others) archives.push(await readArchive(other, context))
  return mergeArchives(archives, place.cluster.walSegmentSize)
}

interface Archive extends Listing, Pick<ArchiveSurvey, 'histories' | 'unreadableHistories'> {}

async function readArchive(place: ArchivePlace, context: RunContext): Promise<Archive> {
  const listed = await readListing(place, context)
  return { ...listed, ...(await readHistories(listed.named, place, context)) }
}

function mergeArchives(archives: readonly Archive[], segmentSize: WalSegmentSize): ArchiveSurvey {
  const hasSegment = (timeline: TimelineId, number: bigint, among = archives): boolean =>
    among.some(({ segments }) => segments.get(timeline)?.has(number) === true)
  const isFirstToHave = ({ name }: ArchivedName, at: number): boolean => {
    if (name.kind !== 'segment') return at === 0
    const { timeline, number } = parseSegmentName(name.name, segmentSize)
    return !hasSegment(timeline, number, archives.slice(0, at))
  }
  const named = archives.flatMap((archive, at) => archive.named.filter((found) => isFirstToHave(found, at)))
  const { histories, unreadableHistories } = mergeHistories(archives)
  const timelines = [...new Set(archives.flatMap(({ segments }) => [...segments.keys()]))]
  return {
    timelines: findWalGaps({
      segments: new Map(timelines.map((timeline) => [timeline, numbersOf(archives, timeline)])),
      histories: histories.values(),
      segmentSize,
    }),
    conflicts: named.filter(({ digests }) => digests.length > 1),
    histories,
    unreadableHistories,
    partials: named.filter(({ name }) => name.kind === 'partial'),
    newestTimeline: archives
      .flatMap(({ newestTimeline }) => newestTimeline ?? [])
      .toSorted((one, other) => one - other)
      .at(-1),
    storedBytes: archives[0]?.storedBytes ?? 0,
    hasSegment: (name) => {
      const { timeline, number } = parseSegmentName(name, segmentSize)
      return hasSegment(timeline, number)
    },
  }
}

/** A good one counts before a damaged one, but none where two servers gave different histories the same number. */
function mergeHistories(
  archives: readonly Archive[],
): Pick<ArchiveSurvey, 'histories' | 'unreadableHistories'> {
  const histories = new Map<TimelineId, TimelineHistory>()
  const unreadableHistories = new Map<TimelineId, OperationError>()
  for (const archive of archives.toReversed()) {
    for (const [timeline, history] of archive.histories) histories.set(timeline, history)
    for (const [timeline, error] of archive.unreadableHistories) unreadableHistories.set(timeline, error)
  }
  for (const [timeline, { code }] of unreadableHistories) {
    if (code === 'target-ambiguous') histories.delete(timeline)
    else if (histories.has(timeline)) unreadableHistories.delete(timeline)
  }
  return { histories, unreadableHistories }
}

function* numbersOf(archives: readonly Archive[], timeline: TimelineId): Generator<bigint, void> {
  for (const { segments } of archives) yield* segments.get(timeline)?.numbers() ?? []
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

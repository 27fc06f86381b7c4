import { historyFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError, isOperationError } from '../domain/operation-error.ts'
import type { RunContext, RunEvent } from '../domain/run-context.ts'
import { parseTimelineHistory, type TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import { readObject } from '../repository/sealed-store.ts'
import { describePlace, type ArchivePlace } from './archive-place.ts'
import { listContents } from './archived-contents.ts'
import { decodeText } from './check-archived-file.ts'
import { walObjectKey } from './wal-object-key.ts'

/**
 * The history of a timeline out of the archive; undefined when it is proven to have none. Timeline 1 never has a file
 * and no ancestors. Throws `target-ambiguous` when two servers gave different histories the same number, and `damaged`.
 */
export async function readTimelineHistory(
  place: ArchivePlace,
  timeline: TimelineId,
  context: RunContext,
): Promise<TimelineHistory | undefined> {
  if (timeline === 1) return { timeline, ancestors: [] }
  const name = { kind: 'history', name: historyFileName(timeline), timeline } as const
  const digests = await listContents(name, place, context)
  return digests.length === 0 ? undefined : readOnlyGood({ name, digests }, place, context)
}

type HistoryArchiveName = Extract<ArchiveFileName, { readonly kind: 'history' }>

/** Contents of one name that are read to find the good one. */
export const mostCompared = 4

/**
 * The history in the only good one of the contents of one name, with a warning of the others. Throws `target-ambiguous`
 * when several are good, and `damaged` when none is.
 */
export async function readOnlyGood(
  { name, digests }: { readonly name: HistoryArchiveName; readonly digests: readonly string[] },
  place: ArchivePlace,
  context: RunContext,
): Promise<TimelineHistory> {
  if (digests.length > mostCompared) throw ambiguous(name, place, digests)
  const good: { digest: string; history: TimelineHistory }[] = []
  const refusals: OperationError[] = []
  for (const digest of digests) {
    try {
      const bytes = await readHistoryContent(place, { name, digest }, context)
      good.push({ digest, history: parseTimelineHistory(name.timeline, decodeText(bytes)) })
    } catch (error) {
      if (!isOperationError(error, 'damaged')) throw error
      refusals.push(error)
    }
  }
  const [only, ...others] = good
  if (others.length > 0)
    throw ambiguous(
      name,
      place,
      good.map(({ digest }) => digest),
    )
  if (only === undefined) throw refusals[0] ?? ambiguous(name, place, digests)
  for (const refusal of refusals) context.report(passedOver(name, refusal))
  return only.history
}

/** One of the contents that are archived as a history file. Throws `damaged`. */
export async function readHistoryContent(
  { repository, cluster }: ArchivePlace,
  { name, digest }: { readonly name: ArchiveFileName; readonly digest: string },
  context: RunContext,
): Promise<Uint8Array> {
  const key = walObjectKey(cluster.id, { name, digest, part: 0 })
  const bytes = await readObject(repository, { kind: 'history-file', key }, context)
  if (bytes === undefined)
    throw new OperationError('damaged', `reading "${key}": it was listed and is missing`)
  return bytes
}

/** For the check of a segment, which works without a history too, only less strictly. */
export async function historyForCheck(
  place: ArchivePlace,
  timeline: TimelineId,
  context: RunContext,
): Promise<TimelineHistory | undefined> {
  try {
    return await readTimelineHistory(place, timeline, context)
  } catch (error) {
    if (isOperationError(error, 'target-ambiguous')) return undefined
    throw error
  }
}

/** Of a content that is damaged or does not belong there, where another one under the same name is good. */
export function passedOver({ name }: ArchiveFileName, refusal: OperationError): RunEvent {
  return {
    kind: 'warning',
    message: `of several contents of ${name} the only good one is taken; of another: ${refusal.message}`,
    hint: 'Move the other one out of the repository.',
  }
}

/** The one error for a name with several contents: it says which, so that they can be looked at. */
export function ambiguous(
  name: ArchiveFileName,
  place: ArchivePlace,
  digests: readonly string[],
): OperationError {
  return new OperationError(
    'target-ambiguous',
    `fetching ${name.name} of ${describePlace(place)}: expected one content, found ${digests.length}: ${digests.join(', ')}`,
    {
      hint: 'Two servers archived as one cluster: decide which of them you follow, and move the other content out of the repository.',
    },
  )
}

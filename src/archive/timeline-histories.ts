import { historyFileName, parseArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError, isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
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
  const bytes = await readHistoryFile(place, timeline, context)
  return bytes && parseTimelineHistory(timeline, decodeText(bytes))
}

/** The content of a timeline's history file, byte for byte; undefined and errors as with `readTimelineHistory`. */
async function readHistoryFile(
  place: ArchivePlace,
  timeline: TimelineId,
  context: RunContext,
): Promise<Uint8Array | undefined> {
  const name = parseArchiveFileName(historyFileName(timeline))
  const digests = await listContents(name, place, context)
  const [digest] = digests
  if (digest === undefined) return undefined
  if (digests.length > 1) throw ambiguous(name, place, digests)
  return readHistoryContent(place, { name, digest }, context)
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

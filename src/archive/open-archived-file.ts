import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import { describePlace, type ArchivePlace } from './archive-place.ts'
import { listContents } from './archived-contents.ts'
import { checkArchivedFile, largestTextBytes } from './check-archived-file.ts'
import { readWalObject, type WalContent } from './read-wal-object.ts'
import {
  ambiguous,
  historyForCheck,
  mostCompared,
  passedOver,
  readHistoryContent,
} from './timeline-histories.ts'
import type { WalObject } from './wal-object-key.ts'

/**
 * Begins to read an archived file; undefined when it is proven absent. The beginning is checked against the name before
 * the first byte is given; the rest is proven when the last chunk was read without an error. Of several contents the only
 * good one is given, with a warning of the others; of several good ones none (`target-ambiguous`).
 */
export async function openArchivedFile(
  name: ArchiveFileName,
  place: ArchivePlace,
  context: RunContext,
): Promise<WalContent | undefined> {
  const digests = await listContents(name, place, context)
  if (digests.length > mostCompared) throw ambiguous(name, place, digests)
  const history =
    name.kind === 'segment' && digests.length > 0
      ? await historyForCheck(place, name.timeline, context)
      : undefined
  const check = { name, place, history }
  const [digest, ...others] = digests
  if (digest === undefined) return undefined
  const content = await openChecked(
    others.length === 0 ? digest : await chooseGood(digests, check, context),
    check,
    context,
  )
  if (content instanceof OperationError) throw content
  return content
}

/** The only one of several contents that can be read to its end and may stand under the name. */
async function chooseGood(digests: readonly string[], check: Check, context: RunContext): Promise<string> {
  const good: string[] = []
  const refusals: OperationError[] = []
  for (const digest of digests) {
    const refusal = await findFault(digest, check, context)
    if (refusal === undefined) good.push(digest)
    else refusals.push(refusal)
  }
  const [only, ...others] = good
  if (others.length > 0) throw ambiguous(check.name, check.place, good)
  if (only === undefined) throw refusals[0] ?? ambiguous(check.name, check.place, digests)
  for (const refusal of refusals) context.report(passedOver(check.name, refusal))
  return only
}

/** Why a content cannot be handed out; undefined when all of it is good. */
async function findFault(
  digest: string,
  check: Check,
  context: RunContext,
): Promise<OperationError | undefined> {
  try {
    const content = await openChecked(digest, check, context)
    if (content instanceof OperationError) return content
    // Reading to the end is what proves it.
    for await (const _ of content.chunks) context.signal.throwIfAborted()
    return undefined
  } catch (error) {
    if (isOperationError(error, 'damaged')) return error
    throw error
  }
}

async function openChecked(
  digest: string,
  check: Check,
  context: RunContext,
): Promise<WalContent | OperationError> {
  const { name, place } = check
  return checkBeginning(await openContent({ name, digest, part: 0 }, place, context), check)
}

async function openContent(object: WalObject, place: ArchivePlace, context: RunContext): Promise<WalContent> {
  if (object.name.kind === 'history') {
    const bytes = await readHistoryContent(place, object, context)
    return { sizeBytes: bytes.length, chunks: single(bytes) }
  }
  const content = await readWalObject(place, object, context)
  if (content !== undefined) return content
  throw new OperationError(
    'damaged',
    `fetching ${object.name.name} of ${describePlace(place)}: it was listed and is missing`,
  )
}

interface Check {
  readonly name: ArchiveFileName
  readonly place: ArchivePlace
  readonly history: TimelineHistory | undefined
}

/** Reads the first chunk, which holds the first WAL page or the whole of a text, and puts it back. */
async function checkBeginning(
  content: WalContent,
  { name, place, history }: Check,
): Promise<WalContent | OperationError> {
  const iterator = content.chunks[Symbol.asyncIterator]()
  const first = await iterator.next()
  const bytes = first.done === true ? new Uint8Array() : first.value
  const isWholeText = content.sizeBytes > largestTextBytes || bytes.length === content.sizeBytes
  const verdict =
    name.kind === 'segment' || name.kind === 'partial' || isWholeText
      ? checkArchivedFile(name, { bytes, sizeBytes: content.sizeBytes }, { ...place, history })
      : ({ kind: 'invalid', reason: 'is in pieces' } as const)
  if (verdict.kind === 'valid') return { sizeBytes: content.sizeBytes, chunks: rejoined(bytes, iterator) }
  return new OperationError(
    'damaged',
    `fetching ${name.name} of ${describePlace(place)}: what is archived under this name ${verdict.reason}`,
    {
      hint: 'It must not be replayed. Look for another copy of it: in another repository, or in pg_wal of a server of this cluster.',
    },
  )
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes)
}

async function* rejoined(
  first: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  yield first
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
}

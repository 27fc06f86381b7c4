import { parseArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { orAbandon } from '../platform/or-abandon.ts'
import { describePlace, type ArchivePlace } from './archive-place.ts'
import { openArchivedFile } from './open-archived-file.ts'
import { readArchivedFile } from './read-archived-file.ts'
import type { WalContent } from './read-wal-object.ts'
import { writeContent } from './write-content.ts'

export interface GetRequest {
  /** What PostgreSQL asks for. A `.partial` never stands in for a whole segment. */
  readonly name: string
  readonly destination: string
}

export type GetAnswer = { readonly kind: 'found' } | { readonly kind: 'absent' }

/**
 * How long a failing repository is tried again, and the time after which no answer is given any more: PostgreSQL probes
 * several times in a row and hangs in each of them, also when it is to be promoted (M3).
 */
const retryForMs = 8_000
const answerWithinMs = 15_000
const retryPauseMs = 500
/** The bytes of a large segment may take their time, as long as some come. */
const bytesWithinMs = 60_000

/**
 * Fetches one file out of whichever repository has it intact. 'found': it is at its destination, complete, verified and
 * synced. 'absent': every repository was reached and none has it. Everything else is thrown: the caller must tell
 * PostgreSQL that it does not know (M1, R39).
 */
export async function getFile(
  request: GetRequest,
  { repositories }: { readonly repositories: readonly ArchivePlace[] },
  context: RunContext,
): Promise<GetAnswer> {
  const name = parseArchiveFileName(request.name)
  const startedAt = context.clock.monotonic()
  for (;;) {
    try {
      return await getOnce({ name, destination: request.destination }, repositories, context)
    } catch (error) {
      const isWorthwhile = isOperationError(error) && error.isRetryable && !context.signal.aborted
      if (!isWorthwhile || context.clock.monotonic() - startedAt > retryForMs) throw error
      await context.clock.sleep(retryPauseMs, context.signal)
    }
  }
}

interface Wanted {
  readonly name: ArchiveFileName
  readonly destination: string
}

async function getOnce(
  wanted: Wanted,
  places: readonly ArchivePlace[],
  context: RunContext,
): Promise<GetAnswer> {
  const failures: unknown[] = []
  for (const place of places) {
    try {
      if (await getFrom(wanted, place, context)) return { kind: 'found' }
    } catch (error) {
      if (context.signal.aborted) throw error
      failures.push(error)
    }
  }
  if (failures.length === 0 && places.length > 0) return { kind: 'absent' }
  // One copy says "absent" and another could not be read: that is not a proof.
  for (const failure of failures.slice(1)) {
    const message = failure instanceof Error ? failure.message : String(failure)
    context.report({ kind: 'warning', message: `another repository failed too: ${message}` })
  }
  throw failures[0]
}

async function getFrom(
  { name, destination }: Wanted,
  place: ArchivePlace,
  context: RunContext,
): Promise<boolean> {
  const read = async (content: WalContent): Promise<true> => {
    await writeContent(content, destination, context)
    return true
  }
  return (await readArchivedFile({ name, read, open: openInTime }, place, context)) ?? false
}

/** What hangs in the file system for good is given up like what is slow: another repository may have the file. */
async function openInTime(
  name: ArchiveFileName,
  place: ArchivePlace,
  context: RunContext,
): Promise<WalContent | undefined> {
  const fetching = { name, place, context }
  const content = await within(answerWithinMs, (limited) => openArchivedFile(name, place, limited), fetching)
  return content && { ...content, chunks: withoutHanging(content.chunks, fetching) }
}

interface Fetching {
  readonly name: ArchiveFileName
  readonly place: ArchivePlace
  readonly context: RunContext
}

async function within<T>(
  limitMs: number,
  work: (context: RunContext) => Promise<T>,
  { name, place, context }: Fetching,
): Promise<T> {
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(unanswered(name, place, limitMs)), limitMs)
  const signal = AbortSignal.any([context.signal, deadline.signal])
  try {
    return await orAbandon(work({ ...context, signal }), signal)
  } finally {
    clearTimeout(timer)
  }
}

async function* withoutHanging(
  chunks: AsyncIterable<Uint8Array>,
  fetching: Fetching,
): AsyncGenerator<Uint8Array, void> {
  const iterator = chunks[Symbol.asyncIterator]()
  for (;;) {
    const next = await within(bytesWithinMs, () => iterator.next(), fetching)
    if (next.done === true) return
    yield next.value
  }
}

function unanswered(name: ArchiveFileName, place: ArchivePlace, limitMs: number): OperationError {
  return new OperationError(
    'store-unreachable',
    `fetching ${name.name} of ${describePlace(place)}: no answer within ${limitMs} ms`,
    { hint: 'Look at the network, the mount and the load of the repository; PostgreSQL asks again.' },
  )
}

import type { Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import type { RunContext } from '../domain/run-context.ts'
import { formatTimelineHex, type TimelineId } from '../domain/timeline.ts'
import { segmentRange } from '../domain/wal-segment.ts'
import { describePlace, type ArchivePlace } from './archive-place.ts'
import { openArchivedFile } from './open-archived-file.ts'
import { pushFinished } from './push-finished.ts'
import { readTimelineHistory } from './timeline-histories.ts'

export interface WalWait {
  readonly timeline: TimelineId
  /** The segments that hold the bytes from here up to, but not including, `toLsn` (M13). */
  readonly fromLsn: Lsn
  readonly toLsn: Lsn
  readonly timeoutMs: number
  /** The server's pg_wal: the last segment is pushed from there when the server has finished it. Default: it is waited for. */
  readonly walFolder?: string
  /** Asked when the time is up: what the server knows of its archiving, for the error message. */
  readonly askServer?: () => Promise<string | undefined>
}

/** The pause between two looks grows to this. */
const longestPauseMs = 1000
const shortestPauseMs = 50

/**
 * Waits until every repository holds all of this WAL and, beyond timeline 1, the history of the timeline; each segment
 * is read back and verified (R18). Throws `archive-timeout` with the segment that is missing.
 */
export async function waitForWal(
  request: WalWait,
  { repositories }: { readonly repositories: readonly ArchivePlace[] },
  context: RunContext,
): Promise<void> {
  const deadline = context.clock.monotonic() + request.timeoutMs
  for (const place of repositories) {
    await waitFor(`${formatTimelineHex(request.timeline)}.history`, { request, place, deadline }, context)
    const range = { from: request.fromLsn, to: request.toLsn }
    const names = [...segmentRange(request.timeline, range, place.cluster.walSegmentSize)]
    for (const name of names) {
      const walFolder = name === names.at(-1) ? request.walFolder : undefined
      await waitFor(name, { request, place, deadline, walFolder }, context)
    }
  }
}

interface Wait {
  readonly request: WalWait
  readonly place: ArchivePlace
  readonly deadline: number
  /** Where the file may be pushed from. */
  readonly walFolder?: string | undefined
}

async function waitFor(
  fileName: string,
  { request, place, deadline, walFolder }: Wait,
  context: RunContext,
): Promise<void> {
  let pauseMs = shortestPauseMs
  let isPushed = false
  while (!(await isArchived(fileName, place, context))) {
    if (walFolder !== undefined && !isPushed) {
      isPushed = await pushFinished({ walFolder, fileName }, place, context)
      if (isPushed) continue
    }
    if (context.clock.monotonic() > deadline) throw await timedOut(fileName, request, place)
    await context.clock.sleep(pauseMs, context.signal)
    pauseMs = Math.min(pauseMs * 2, longestPauseMs)
  }
}

/** Reads it to the end, which is what verifies it. */
async function isArchived(fileName: string, place: ArchivePlace, context: RunContext): Promise<boolean> {
  const name = parseArchiveFileName(fileName)
  if (name.kind === 'history') return (await readTimelineHistory(place, name.timeline, context)) !== undefined
  const content = await openArchivedFile(name, place, context)
  if (content === undefined) return false
  for await (const _ of content.chunks) context.signal.throwIfAborted()
  return true
}

async function timedOut(fileName: string, request: WalWait, place: ArchivePlace): Promise<OperationError> {
  const status = await request.askServer?.()
  const told = status === undefined ? '' : `; ${status}`
  return new OperationError(
    'archive-timeout',
    `waiting for WAL of ${describePlace(place)}: expected ${fileName} within ${request.timeoutMs} ms, it was not archived${told}`,
    { hint: 'Look into the log of the server for what its archive_command says, and run "holdfast check".' },
  )
}

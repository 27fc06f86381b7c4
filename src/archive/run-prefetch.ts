import { join } from 'node:path'
import type { RunContext } from '../domain/run-context.ts'
import {
  nextSegmentName,
  parseSegmentName,
  type WalSegmentName,
  type WalSegmentSize,
} from '../domain/wal-segment.ts'
import type { ArchivePlace } from './archive-place.ts'
import { getFile } from './get-file.ts'
import { PrefetchFolder } from './prefetch-folder.ts'

export interface PrefetchRequest {
  readonly walFolder: string
  /** The segment that PostgreSQL has just been given. */
  readonly after: WalSegmentName
  /** How many segments wait to be taken at most. */
  readonly mostSegments: number
}

interface Window {
  next: WalSegmentName
  asked: WalSegmentName | undefined
  waitingCount: number
  usedAt: number
}

/** What is fetched ahead takes at most this much of the disk, whatever the size of a segment. */
const mostBytes = 256 * 1024 * 1024

const idleAfterMs = 60_000
const lookPauseMs = 20
const absentPauseMs = 250
const failurePauseMs = 1000

/**
 * Keeps the next segments of one timeline in `pg_wal/holdfast-prefetch`, where the restore_command takes them. Follows
 * PostgreSQL to another place or timeline when archive-get says that it had to answer by itself. Ends, and removes the
 * folder, when the server does not recover any more or has taken nothing for a minute; ends at once when another
 * prefetcher lives. Whatever cannot be fetched is not there: archive-get gives PostgreSQL the reason.
 */
export async function runPrefetch(
  request: PrefetchRequest,
  tools: { readonly repositories: readonly ArchivePlace[] },
  context: RunContext,
): Promise<void> {
  const segmentSize = tools.repositories[0]?.cluster.walSegmentSize
  if (segmentSize === undefined) return
  const folder = new PrefetchFolder(request.walFolder)
  if (!(await folder.claim())) return
  await using cleanup = new AsyncDisposableStack()
  cleanup.defer(() => folder.remove())
  const mostSegments = Math.min(request.mostSegments, Math.max(2, Math.floor(mostBytes / segmentSize)))
  const window: Window = {
    next: nextSegmentName(request.after, segmentSize),
    asked: await folder.readAsked(),
    waitingCount: 0,
    usedAt: context.clock.monotonic(),
  }
  while (await folder.isInRecovery()) {
    await follow(window, { folder, segmentSize, mostSegments }, context)
    if (context.clock.monotonic() - window.usedAt > idleAfterMs) return
    const pauseMs =
      window.waitingCount >= mostSegments
        ? lookPauseMs
        : await fetchNext(window, { folder, segmentSize }, { tools, context })
    if (pauseMs > 0) await context.clock.sleep(pauseMs, context.signal)
  }
}

interface Surroundings {
  readonly folder: PrefetchFolder
  readonly segmentSize: WalSegmentSize
}

/** Sees what was taken, and moves the window when PostgreSQL is somewhere else. */
async function follow(
  window: Window,
  { folder, segmentSize, mostSegments }: Surroundings & { readonly mostSegments: number },
  context: RunContext,
): Promise<void> {
  const asked = await folder.readAsked()
  const waiting = await folder.waiting()
  if (waiting.length < window.waitingCount || asked !== window.asked)
    window.usedAt = context.clock.monotonic()
  window.waitingCount = waiting.length
  if (asked === undefined || asked === window.asked) return
  window.asked = asked
  window.next = nextSegmentName(asked, segmentSize)
  const from = parseSegmentName(window.next, segmentSize)
  for (const name of waiting.toSorted()) {
    const { timeline, number } = parseSegmentName(name, segmentSize)
    const isAhead =
      timeline === from.timeline && number >= from.number && number < from.number + BigInt(mostSegments)
    if (isAhead) {
      if (name === window.next) window.next = nextSegmentName(name, segmentSize)
      continue
    }
    await folder.discard(name)
    window.waitingCount -= 1
  }
}

/** Fetches one segment and says how long to wait before the next look. */
async function fetchNext(
  window: Window,
  { folder, segmentSize }: Surroundings,
  { tools, context }: { tools: { readonly repositories: readonly ArchivePlace[] }; context: RunContext },
): Promise<number> {
  const name = window.next
  try {
    const answer = await getFile({ name, destination: join(folder.path, name) }, tools, context)
    if (answer.kind === 'absent') return absentPauseMs
    window.next = nextSegmentName(name, segmentSize)
    window.waitingCount += 1
    return 0
  } catch (error) {
    context.signal.throwIfAborted()
    context.report({
      kind: 'warning',
      message: `fetching ${name} ahead: ${error instanceof Error ? error.message : String(error)}`,
    })
    return failurePauseMs
  }
}

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
import { PrefetchLanes } from './prefetch-lanes.ts'

export interface PrefetchRequest {
  readonly walFolder: string
  /** The segment that PostgreSQL has just been given. */
  readonly after: WalSegmentName
  /** How many segments wait to be taken at most. */
  readonly mostSegments: number
}

interface Window {
  /** The next one to begin with. */
  next: WalSegmentName
  asked: WalSegmentName | undefined
  waiting: ReadonlySet<WalSegmentName>
  usedAt: number
  /** Those that are being fetched, in their order. */
  readonly underWay: Fetch[]
  readonly lanes: PrefetchLanes
}

interface Fetch {
  readonly name: WalSegmentName
  /** Never rejects. */
  readonly ended: Promise<'found' | 'absent' | 'failed'>
}

/** What is fetched ahead takes at most this much of the disk, or two segments where those are larger. */
const mostBytes = 256 * 1024 * 1024

const idleAfterMs = 60_000
const lookPauseMs = 20
const absentPauseMs = 250
const failurePauseMs = 1000
const beatMs = 1000

/**
 * Keeps the next segments of one timeline in `pg_wal/holdfast-prefetch`, where the restore_command takes them. Follows
 * PostgreSQL to another place or timeline when archive-get says that it had to answer by itself. Ends, and removes the
 * folder, when the server does not recover any more or has taken nothing for a minute; ends at once when another
 * prefetcher lives or has taken its place. Whatever cannot be fetched is not there: archive-get gives PostgreSQL the reason.
 */
export async function runPrefetch(
  request: PrefetchRequest,
  tools: { readonly repositories: readonly ArchivePlace[] },
  context: RunContext,
): Promise<void> {
  const segmentSize = tools.repositories[0]?.cluster.walSegmentSize
  if (segmentSize === undefined) return
  const folder = new PrefetchFolder(request.walFolder, context.clock)
  const first = nextSegmentName(request.after, segmentSize)
  if (!(await folder.claim(first))) return
  await using cleanup = new AsyncDisposableStack()
  using heart = beat(folder, context)
  cleanup.defer(async () => {
    if (folder.keep()) await folder.remove()
  })
  const mostSegments = Math.min(request.mostSegments, Math.max(2, Math.floor(mostBytes / segmentSize)))
  const window: Window = {
    next: first,
    asked: await folder.readAsked(),
    waiting: new Set(),
    usedAt: context.clock.monotonic(),
    underWay: [],
    lanes: new PrefetchLanes(),
  }
  cleanup.defer(() => settle(window))
  const surroundings = { folder, segmentSize, mostSegments }
  while (heart.isOwner() && (await folder.isInRecovery())) {
    await follow(window, surroundings, context)
    if (context.clock.monotonic() - window.usedAt > idleAfterMs) return
    beginFetching(window, surroundings, { tools, context })
    const pauseMs = await awaitFirst(window, context)
    if (pauseMs > 0) await context.clock.sleep(pauseMs, context.signal)
  }
}

/** Says every second that this prefetcher lives, until it is disposed or has lost the folder. */
function beat(
  folder: PrefetchFolder,
  { clock }: RunContext,
): Disposable & { readonly isOwner: () => boolean } {
  const ended = new AbortController()
  let isOwner = true
  const keepOn = async (): Promise<void> => {
    while (isOwner) {
      await clock.sleep(beatMs, ended.signal)
      isOwner = folder.keep()
    }
  }
  keepOn().catch(() => {
    isOwner = false // it was disposed of, or cannot say any more that it lives
  })
  return { isOwner: () => isOwner, [Symbol.dispose]: () => ended.abort() }
}

interface Surroundings {
  readonly folder: PrefetchFolder
  readonly segmentSize: WalSegmentSize
  readonly mostSegments: number
}

/** Sees what was taken, and moves the window when PostgreSQL is somewhere else. */
async function follow(
  window: Window,
  { folder, segmentSize, mostSegments }: Surroundings,
  context: RunContext,
): Promise<void> {
  const asked = await folder.readAsked()
  const hasMoved = asked !== undefined && asked !== window.asked
  if (hasMoved) await settle(window)
  const waiting = new Set(await folder.waiting())
  const wasTaken = [...window.waiting].some((name) => !waiting.has(name))
  if (wasTaken || asked !== window.asked) window.usedAt = context.clock.monotonic()
  window.waiting = waiting
  if (!hasMoved) return
  window.asked = asked
  window.next = nextSegmentName(asked, segmentSize)
  const from = parseSegmentName(window.next, segmentSize)
  for (const name of waiting) {
    const { timeline, number } = parseSegmentName(name, segmentSize)
    const isAhead =
      timeline === from.timeline && number >= from.number && number < from.number + BigInt(mostSegments)
    if (isAhead) continue
    await folder.discard(name)
    waiting.delete(name)
  }
}

interface Means {
  readonly tools: { readonly repositories: readonly ArchivePlace[] }
  readonly context: RunContext
}

/** Begins to fetch what comes next, but for what is there already, while there is room. */
function beginFetching(
  window: Window,
  { folder, segmentSize, mostSegments }: Surroundings,
  means: Means,
): void {
  while (window.underWay.length < window.lanes.count) {
    while (window.waiting.has(window.next)) window.next = nextSegmentName(window.next, segmentSize)
    const reserved = new Set([...window.waiting, ...window.underWay.map(({ name }) => name)])
    if (reserved.size >= mostSegments) return
    const name = window.next
    window.underWay.push({ name, ended: fetchOne(name, folder, means) })
    window.next = nextSegmentName(name, segmentSize)
  }
}

/** Waits for the first of those under way and says how long to wait before the next look. */
async function awaitFirst(window: Window, { clock }: Pick<RunContext, 'clock'>): Promise<number> {
  const first = window.underWay.shift()
  if (first === undefined) return lookPauseMs
  const [begun, usage] = [clock.monotonic(), process.cpuUsage()]
  const answer = await first.ended
  if (answer === 'found' && window.waiting.size === 0) {
    const { user, system } = process.cpuUsage(usage)
    window.lanes.noteWait({ waitedMs: clock.monotonic() - begun, cpuMs: (user + system) / 1000 })
  }
  if (answer === 'found') {
    // Remembered at once: it may be taken before the next look, and that counts as use.
    window.waiting = new Set([...window.waiting, first.name])
    return 0
  }
  // Those behind it may have been found; they are looked for when it is its turn again.
  await settle(window)
  window.next = first.name
  return answer === 'absent' ? absentPauseMs : failurePauseMs
}

async function settle(window: Window): Promise<void> {
  await Promise.all(window.underWay.splice(0).map(({ ended }) => ended))
}

async function fetchOne(
  name: WalSegmentName,
  folder: PrefetchFolder,
  { tools, context }: Means,
): Promise<'found' | 'absent' | 'failed'> {
  try {
    await folder.announce(name)
    const answer = await getFile({ name, destination: join(folder.path, name) }, tools, context)
    return answer.kind
  } catch (error) {
    // After an abort the next thing that waits throws it.
    if (!context.signal.aborted)
      context.report({
        kind: 'warning',
        message: `fetching ${name} ahead: ${error instanceof Error ? error.message : String(error)}`,
      })
    return 'failed'
  } finally {
    // If it stays, the restore_command waits in vain, but not for long.
    await folder.withdraw(name).catch(() => undefined)
  }
}

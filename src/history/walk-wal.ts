import type { ArchivePlace } from '../archive/archive-place.ts'
import { ArchivedFolders } from '../archive/archived-folders.ts'
import { gatherRecord } from '../archive/gather-record.ts'
import { inOrder } from '../platform/in-order.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import { readSegmentContents, type StoredContents } from '../archive/read-segment-contents.ts'
import { WalChain } from '../archive/wal-chain.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { segmentPath, type PathSegment } from '../domain/segment-path.ts'
import { timelineAt, type TimelineHistory } from '../domain/timeline-history.ts'
import type { WalSegmentName } from '../domain/wal-segment.ts'
import type { WalFacts } from '../wal/wal-facts.ts'

export interface WalkRequest {
  /** The timelines to walk along. */
  readonly history: TimelineHistory
  /** The beginning of a segment, and the end of one. */
  readonly from: Lsn
  readonly to: Lsn
  readonly hasSegment: (name: WalSegmentName) => boolean
}

/** WAL of which nothing is known. */
export interface WalHole {
  readonly fromLsn: Lsn
  /** Where the next segment begins that can be read. */
  readonly toLsn: Lsn
  /** For people: a clause, lower case. */
  readonly reason: string
}

export interface WalkTools {
  readonly place: ArchivePlace
  /** Gets what records did, in the order of the WAL. */
  readonly take: (facts: WalFacts) => void
  /** What comes next does not follow what came last. */
  readonly breakOff: (hole: WalHole) => void
  /** Asked after each segment: true ends the walk there. */
  readonly isDone?: () => boolean
  /** Called after each segment. */
  readonly advance?: (done: number, total: number) => void
}

/** Segments that are fetched at a time. Their indexes are small. */
const parallelReads = 8

interface ReadStep {
  readonly name: string
  readonly startLsn: Lsn
  /** Undefined: `reason` says why. */
  readonly stored: StoredContents | undefined
  readonly reason: string
}

/**
 * Reads what the archive tells of all records along a way, out of the indexes of its segments; a segment without one is
 * read itself, and its index is stored. What is missing or damaged is told as a hole, and the walk goes on behind it.
 */
export async function walkWal(request: WalkRequest, tools: WalkTools, context: RunContext): Promise<void> {
  const { place } = tools
  const { history, from, to } = request
  const { walSegmentSize } = place.cluster
  const total = Number((to - from) / BigInt(walSegmentSize))
  const steps = segmentPath(
    history,
    { from: { timeline: timelineAt(history, from), lsn: from }, to },
    walSegmentSize,
  )
  const walk = new Walk(tools, context)
  const archived = new ArchivedFolders(place)
  let done = 0
  for await (const read of inOrder(steps, { limit: parallelReads, context }, (step, stepContext) =>
    readStep(step, { request, archived }, stepContext),
  )) {
    await walk.add(read)
    done += 1
    tools.advance?.(done, total)
    if (tools.isDone?.() === true) return
  }
  walk.finish(to)
}

async function readStep(
  { number, candidates }: PathSegment,
  { request, archived }: { readonly request: WalkRequest; readonly archived: ArchivedFolders },
  context: RunContext,
): Promise<ReadStep> {
  const startLsn = toLsn(number * BigInt(archived.place.cluster.walSegmentSize))
  const name = candidates.find((candidate) => request.hasSegment(candidate.name))?.name
  const known = { name: name ?? candidates[0]?.name ?? '', startLsn }
  if (name === undefined) return { ...known, stored: undefined, reason: `${known.name} is not archived` }
  try {
    const stored = await readSegmentContents(name, archived, context)
    return { ...known, stored, reason: `${name} is not archived` }
  } catch (error) {
    if (!isAboutObject(error)) throw error
    return { ...known, stored: undefined, reason: error.message }
  }
}

interface WalkedSegment {
  readonly name: string
  readonly contents: StoredContents['contents']
  readonly pages: StoredContents['pages']
}

/** Chains of segments, and the holes between them. */
class Walk {
  readonly #tools: WalkTools
  readonly #context: RunContext
  #chain: WalChain<WalkedSegment> | undefined
  /** Where the WAL that cannot be read begins, and why; undefined when the last segment could be. */
  #hole: Omit<WalHole, 'toLsn'> | undefined

  constructor(tools: WalkTools, context: RunContext) {
    this.#tools = tools
    this.#context = context
  }

  async add({ name, startLsn, stored, reason }: ReadStep): Promise<void> {
    if (stored === undefined) {
      this.#open(startLsn, reason)
      return
    }
    const segment = { name, ...stored }
    const problem = await this.#extend(segment)
    if (problem === undefined) return
    this.#open(startLsn, problem)
    // It may be whole, and only not follow the one before it.
    const own = await this.#extend(segment)
    if (own === undefined) return
    this.#tools.take(stored.contents.facts)
    this.#open(stored.contents.end.lsn, own)
  }

  finish(to: Lsn): void {
    this.#close(to)
  }

  async #extend(segment: WalkedSegment): Promise<string | undefined> {
    this.#close(segment.contents.startLsn)
    this.#chain ??= new WalChain<WalkedSegment>(this.#tools.place.cluster, {
      readAgain: (record, segments) => gatherRecord(record, pagesOf(segments, this.#context), this.#context),
      take: (facts) => {
        this.#tools.take(facts)
        return undefined
      },
    })
    return this.#chain.add(segment)
  }

  #open(fromLsn: Lsn, reason: string): void {
    this.#chain = undefined
    this.#hole ??= { fromLsn, reason }
  }

  #close(at: Lsn): void {
    if (this.#hole === undefined) return
    this.#tools.breakOff({ ...this.#hole, toLsn: at })
    this.#hole = undefined
  }
}

function* pagesOf(
  segments: readonly WalkedSegment[],
  context: RunContext,
): Generator<{ startLsn: Lsn; pages: AsyncIterable<Uint8Array> }, void, undefined> {
  for (const { contents, pages } of segments) yield { startLsn: contents.startLsn, pages: pages(context) }
}

import assert from 'node:assert/strict'
import { formatLsn, type Lsn } from '../domain/lsn.ts'
import type { ClusterRecord } from '../repository/cluster-record.ts'
import { longHeaderLength, walPageSize } from '../wal/page-header.ts'
import type { SegmentContents, SegmentHead } from '../wal/segment-contents.ts'
import type { WalFacts } from '../wal/wal-facts.ts'
import { joinRecord } from './join-record.ts'

/** Whose WAL it must be. */
type ChainCluster = Pick<ClusterRecord, 'systemIdentifier' | 'major' | 'walSegmentSize'>

/** SizeOfXLogShortPHD in access/xlog_internal.h. */
const shortHeaderLength = 24

/** What one segment of a stretch holds, and what it is called. */
export interface ChainSegment {
  readonly name: string
  readonly contents: SegmentContents
}

/** A record that began in one segment, and whose end is still to come. */
interface CarriedRecord<Segment> {
  readonly lsn: Lsn
  readonly totalLength: number
  gatheredLength: number
  /** Undefined when they are too many: then the WAL has to be read again. */
  pieces: Uint8Array[] | undefined
  /** Those that hold it. */
  readonly segments: Segment[]
}

/** What came of the end of a record that an earlier segment began. */
interface HeadTaken {
  readonly problem?: string | undefined
  /** The record is a switch: the rest of the segment is not used. */
  readonly isOver?: boolean
}

/** Gives the bytes of a record that lies in these segments. */
type ReadAgain<Segment> = (
  record: { readonly lsn: Lsn; readonly totalLength: number },
  segments: readonly Segment[],
) => Promise<Uint8Array>

/** What a chain needs of those who build it. */
export interface ChainTools<Segment> {
  readonly readAgain: ReadAgain<Segment>
  /** Gets what records did, in the order of the WAL. May give why the chain cannot be used: it goes on "segment NAME ...". */
  readonly take: (facts: WalFacts) => string | undefined
}

/**
 * Puts the contents of segments that follow each other together, and proves that nothing is missing between them: each
 * record names the one before it, and what crosses segments is whole.
 *
 * Whatever cannot be proven is told as a reason, for people; after that nothing may be added.
 */
export class WalChain<Segment extends ChainSegment> {
  readonly #cluster: ChainCluster
  readonly #tools: ChainTools<Segment>
  /** Where the next segment begins; undefined before the first one. */
  #nextLsn: bigint | undefined
  /** The last whole record so far, whose place the next record has to name. */
  #lastLsn: Lsn | undefined
  #carried: CarriedRecord<Segment> | undefined

  constructor(cluster: ChainCluster, tools: ChainTools<Segment>) {
    this.#cluster = cluster
    this.#tools = tools
  }

  /** The record that goes on behind the last segment. */
  get unfinishedLsn(): Lsn | undefined {
    return this.#carried?.lsn
  }

  /** Adds the next segment. Gives why it does not follow, or cannot be used. */
  async add(segment: Segment): Promise<string | undefined> {
    const { contents, name } = segment
    const foreign = this.#foreignProblem(contents)
    if (foreign !== undefined) return `segment ${name} ${foreign}`
    const isFirst = this.#nextLsn === undefined
    this.#nextLsn = contents.startLsn + BigInt(contents.segmentSize)
    const head: HeadTaken = isFirst ? {} : await this.#takeHead(segment)
    if (head.problem !== undefined) return `segment ${name} ${head.problem}`
    const problem = this.#recordsProblem(contents, head.isOver === true) ?? this.#tools.take(contents.facts)
    if (problem !== undefined) return `segment ${name} ${problem}`
    this.#takeTail(segment)
    return undefined
  }

  #foreignProblem(contents: SegmentContents): string | undefined {
    const { systemIdentifier, major, walSegmentSize } = this.#cluster
    if (contents.major === undefined) return `cannot be read: ${contents.end.detail}`
    if (contents.systemIdentifier.toString() !== systemIdentifier)
      return `belongs to the cluster with system identifier ${contents.systemIdentifier}, expected ${systemIdentifier}`
    if (contents.major !== major) return `comes from PostgreSQL ${contents.major}, expected ${major}`
    if (contents.segmentSize !== walSegmentSize) return `has ${contents.segmentSize} bytes`
    if (this.#nextLsn === undefined || contents.startLsn === this.#nextLsn) return undefined
    return `begins at ${formatLsn(contents.startLsn)} and not where the one before it ends`
  }

  async #takeHead(segment: Segment): Promise<HeadTaken> {
    const { head, segmentSize } = segment.contents
    const carried = this.#carried
    const problem = headProblem(head, carried)
    if (problem !== undefined) return { problem }
    if (carried === undefined || head === undefined) return {}
    if (head.state === 'abandoned') {
      this.#carried = undefined
      return {}
    }
    carried.segments.push(segment)
    carried.gatheredLength += Math.min(head.missing, contentLength(segmentSize))
    if (head.bytes === undefined) carried.pieces = undefined
    else carried.pieces?.push(head.bytes)
    return carried.gatheredLength < carried.totalLength ? {} : this.#join(carried, segment.contents)
  }

  async #join(carried: CarriedRecord<Segment>, { major, head }: SegmentContents): Promise<HeadTaken> {
    const { lsn, pieces, segments } = carried
    assert(major !== undefined && head !== undefined)
    const bytes =
      pieces === undefined ? await this.#tools.readAgain(carried, segments) : Buffer.concat(pieces)
    const joined = joinRecord({ bytes, lsn, endLsn: head.endLsn, major }, this.#lastLsn)
    if (joined.kind === 'broken') return { problem: `ends the record at ${formatLsn(lsn)}: ${joined.reason}` }
    const problem = this.#tools.take(joined.facts)
    if (problem !== undefined) return { problem }
    this.#carried = undefined
    this.#lastLsn = lsn
    return { isOver: joined.isSwitch }
  }

  #recordsProblem({ firstRecord, end }: SegmentContents, isOver: boolean): string | undefined {
    if (firstRecord?.prevLsn !== undefined && firstRecord.prevLsn !== (this.#lastLsn ?? firstRecord.prevLsn))
      return `begins with the record at ${formatLsn(firstRecord.lsn)}, which names ${formatLsn(firstRecord.prevLsn)} before it, expected ${formatLsn(this.#lastLsn ?? firstRecord.prevLsn)}: the server lost or reset its WAL`
    const isWhole = end.reason === 'segments-exhausted' || end.reason === 'record-unfinished'
    if (!isWhole && !(isOver && firstRecord === undefined))
      return `cannot be read on from ${formatLsn(end.lsn)}: ${end.detail}`
    return undefined
  }

  #takeTail(segment: Segment): void {
    const { tail, lastRecordLsn } = segment.contents
    this.#lastLsn = (tail === undefined ? lastRecordLsn : tail.previousLsn) ?? this.#lastLsn
    if (tail === undefined) return
    const { lsn, totalLength, length, bytes } = tail
    this.#carried = {
      lsn,
      totalLength,
      gatheredLength: length,
      pieces: bytes === undefined ? undefined : [bytes],
      segments: [segment],
    }
  }
}

/** Why the beginning of a segment does not go on with what the one before it began. */
function headProblem(
  head: SegmentHead | undefined,
  carried: CarriedRecord<unknown> | undefined,
): string | undefined {
  if (carried === undefined) {
    const isOrderly = head === undefined || head.missing === 0
    return isOrderly ? undefined : 'goes on with a record that the one before it did not begin'
  }
  const where = `the record at ${formatLsn(carried.lsn)}`
  if (head === undefined) return `does not go on with ${where}`
  if (head.state === 'broken') return `breaks off ${where}`
  // A server that gave the record up at once says nothing of its length.
  if (head.state === 'abandoned' && head.missing === 0) return undefined
  const expected = carried.totalLength - carried.gatheredLength
  if (head.missing === expected) return undefined
  return `goes on with ${head.missing} bytes of ${where}, expected ${expected}`
}

/** What a segment holds without its page headers. */
function contentLength(segmentSize: number): number {
  const pages = segmentSize / walPageSize
  return segmentSize - longHeaderLength - (pages - 1) * shortHeaderLength
}

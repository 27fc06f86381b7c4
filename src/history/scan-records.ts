import type { ArchivePlace } from '../archive/archive-place.ts'
import { fetchSegment } from '../archive/fetch-segment.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { segmentPath } from '../domain/segment-path.ts'
import { timelineAt } from '../domain/timeline-history.ts'
import { WalRecordReader, type WalRecord } from '../wal/record-reader.ts'
import type { WalkRequest } from './walk-wal.ts'

/** The timelines to go along, and where they are archived. */
export interface WalWay {
  readonly way: Pick<WalkRequest, 'history' | 'hasSegment'>
  readonly place: ArchivePlace
}

export interface RecordScan {
  /** In the first segment that is read. */
  readonly from: Lsn
  readonly segments: number
  /** Gets every record of these segments in order, up to the first for which it says true. */
  readonly look: (record: WalRecord) => boolean
}

/**
 * Reads segments themselves, record by record, for what their indexes do not tell. What is missing or damaged is passed over.
 */
export async function scanRecords(
  { from, segments, look }: RecordScan,
  { way, place }: WalWay,
  context: RunContext,
): Promise<void> {
  const { walSegmentSize } = place.cluster
  const size = BigInt(walSegmentSize)
  const start = toLsn((from / size) * size)
  const stretch = {
    from: { timeline: timelineAt(way.history, start), lsn: start },
    to: toLsn(start + BigInt(segments) * size),
  }
  let reader = new WalRecordReader()
  for (const { number, candidates } of segmentPath(way.history, stretch, walSegmentSize)) {
    const name = candidates.find((candidate) => way.hasSegment(candidate.name))?.name
    const bytes = name === undefined ? undefined : await fetchIfWhole(name, place, context)
    // Behind what cannot be read it begins anew.
    if (bytes === undefined || reader.hasEnded) reader = new WalRecordReader()
    if (bytes === undefined) continue
    reader.push({ startLsn: toLsn(number * size), bytes })
    for (let record = reader.next(); record !== undefined; record = reader.next()) if (look(record)) return
  }
}

async function fetchIfWhole(
  name: string,
  place: ArchivePlace,
  context: RunContext,
): Promise<Uint8Array | undefined> {
  try {
    const fetched = await fetchSegment({ name }, place, context)
    return fetched.kind === 'found' ? fetched.bytes : undefined
  } catch (error) {
    if (!isAboutObject(error)) throw error
    return undefined
  }
}

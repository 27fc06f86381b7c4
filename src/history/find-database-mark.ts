import type { ArchivePlace } from '../archive/archive-place.ts'
import { fetchSegment } from '../archive/fetch-segment.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { segmentPath } from '../domain/segment-path.ts'
import { timelineAt, type TimelineHistory } from '../domain/timeline-history.ts'
import { WalRecordReader, type WalRecord } from '../wal/record-reader.ts'
import { readRowPlace, type RowPlace } from '../wal/row-place.ts'
import type { WalkRequest } from './walk-wal.ts'

type Way = Pick<WalkRequest, 'history' | 'hasSegment'>

/**
 * Where a database was marked as going, before the transaction that dropped it had a number: dropdb in
 * commands/dbcommands.c overwrites its row in pg_database in place, and only then deletes the row, which is the first record
 * of the transaction. Between the two the database is there and lets nobody in. Undefined when there is no such mark right
 * before, or the WAL there cannot be read. Reads the segment of that record and the one before it.
 */
export async function findDatabaseMark(
  firstLsn: Lsn,
  { way, place }: { readonly way: Way; readonly place: ArchivePlace },
  context: RunContext,
): Promise<Lsn | undefined> {
  try {
    return await lookBack(firstLsn, { way, place }, context)
  } catch (error) {
    if (!isAboutObject(error)) throw error
    return undefined
  }
}

async function lookBack(
  firstLsn: Lsn,
  { way, place }: { readonly way: Way; readonly place: ArchivePlace },
  context: RunContext,
): Promise<Lsn | undefined> {
  const marks = new Map<string, Lsn>()
  let reader = new WalRecordReader()
  for (const { number, candidates } of stepsAround(firstLsn, way.history, place)) {
    const name = candidates.find((candidate) => way.hasSegment(candidate.name))?.name
    const fetched = name === undefined ? undefined : await fetchSegment({ name }, place, context)
    if (fetched?.kind !== 'found') {
      reader = new WalRecordReader()
      continue
    }
    reader.push({ startLsn: toLsn(number * BigInt(place.cluster.walSegmentSize)), bytes: fetched.bytes })
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      if (record.lsn >= firstLsn) return markBefore(record, marks)
      const row = readRowPlace(record)
      if (row?.operation === 'overwritten') marks.set(rowKey(row), record.lsn)
    }
  }
  return undefined
}

/** The record may go on in the segment after its own. */
function stepsAround(lsn: Lsn, history: TimelineHistory, { cluster: { walSegmentSize } }: ArchivePlace) {
  const size = BigInt(walSegmentSize)
  const own = (lsn / size) * size
  const from = toLsn(own < size ? own : own - size)
  const stretch = { from: { timeline: timelineAt(history, from), lsn: from }, to: toLsn(own + 2n * size) }
  return segmentPath(history, stretch, walSegmentSize)
}

function markBefore(first: WalRecord, marks: ReadonlyMap<string, Lsn>): Lsn | undefined {
  const row = readRowPlace(first)
  return row?.operation === 'deleted' ? marks.get(rowKey(row)) : undefined
}

const rowKey = ({ tablespace, database, relation, block, offset }: RowPlace): string =>
  [tablespace, database, relation, block, offset].join(' ')

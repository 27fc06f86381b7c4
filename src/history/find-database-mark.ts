import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { WalRecord } from '../wal/record-reader.ts'
import { readRowPlace, type RowPlace } from '../wal/row-place.ts'
import { scanRecords, type WalWay } from './scan-records.ts'

/**
 * Where a database was marked as going, before the transaction that dropped it had a number: dropdb in
 * commands/dbcommands.c overwrites its row in pg_database in place, and only then deletes the row, which is the first record
 * of the transaction. Between the two the database is there and lets nobody in. Undefined when there is no such mark right
 * before, or the WAL there cannot be read. Reads the segment of that record and the one before it.
 */
export async function findDatabaseMark(
  firstLsn: Lsn,
  wal: WalWay,
  context: RunContext,
): Promise<Lsn | undefined> {
  const size = BigInt(wal.place.cluster.walSegmentSize)
  const marks = new Map<string, Lsn>()
  let mark: Lsn | undefined
  const look = (record: WalRecord): boolean => {
    const row = readRowPlace(record)
    if (record.lsn < firstLsn) {
      if (row?.operation === 'overwritten') marks.set(rowKey(row), record.lsn)
      return false
    }
    if (row?.operation === 'deleted') mark = marks.get(rowKey(row))
    return true
  }
  // The record may go on in the segment after its own.
  await scanRecords({ from: toLsn(firstLsn < size ? 0n : firstLsn - size), segments: 3, look }, wal, context)
  return mark
}

const rowKey = ({ tablespace, database, relation, block, offset }: RowPlace): string =>
  [tablespace, database, relation, block, offset].join(' ')

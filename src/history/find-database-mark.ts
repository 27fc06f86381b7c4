import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { catalogs } from '../wal/catalogs.ts'
import { readDatabaseMark } from '../wal/database-mark.ts'
import { isNewCommandId, readRowPlace, type RowPlace } from '../wal/logged-row.ts'
import type { WalRecord } from '../wal/record-reader.ts'
import { readTransactionEnd } from '../wal/transaction-records.ts'
import { scanRecords, type WalWay } from './scan-records.ts'

/** Where a database was marked as going. */
export interface DatabaseMark {
  readonly lsn: Lsn
  /** Transactions that were committed between the mark and the first record of the one that drops the database. */
  readonly commitsMeanwhile: number
}

/**
 * Where a database was marked as going, before the transaction that dropped it had a number: dropdb in
 * commands/dbcommands.c overwrites its row in pg_database in place, and only then deletes the row, unless there was something
 * else to delete before. Between the two the database is there and lets nobody in. Undefined when the transaction had begun
 * before the mark, and when the WAL there cannot be read. Reads the segment of its first record and the one before it.
 */
export async function findDatabaseMark(
  firstLsn: Lsn,
  wal: WalWay,
  context: RunContext,
): Promise<DatabaseMark | undefined> {
  const size = BigInt(wal.place.cluster.walSegmentSize)
  const marks = new Map<string, { readonly lsn: Lsn; readonly commitsBefore: number }>()
  let commits = 0
  let xid: number | undefined
  let found: DatabaseMark | undefined
  const lookBefore = (record: WalRecord): void => {
    if (readTransactionEnd(record)?.kind === 'commit') commits += 1
    const row = readDatabaseMark(record)
    if (row !== undefined) marks.set(rowKey(row), { lsn: record.lsn, commitsBefore: commits })
  }
  const look = (record: WalRecord): boolean => {
    if (record.lsn < firstLsn) {
      lookBefore(record)
      return false
    }
    xid ??= record.xid
    if (record.xid !== xid || isNewCommandId(record)) return false
    const row = readRowPlace(record, 'deleted', catalogs.database)
    const mark = row && marks.get(rowKey(row))
    if (mark !== undefined) found = { lsn: mark.lsn, commitsMeanwhile: commits - mark.commitsBefore }
    return true
  }
  // The record may go on in the segment after its own.
  await scanRecords({ from: toLsn(firstLsn < size ? 0n : firstLsn - size), segments: 3, look }, wal, context)
  return found
}

const rowKey = ({ tablespace, database, relation, block, offset }: RowPlace): string =>
  [tablespace, database, relation, block, offset].join(' ')

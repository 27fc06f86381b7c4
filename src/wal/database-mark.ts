import { catalogs } from './catalogs.ts'
import { readLoggedRow, type RowPlace } from './logged-row.ts'
import type { WalRecord } from './record-reader.ts'

/** DATCONNLIMIT_INVALID_DB in catalog/pg_database.h: nobody comes in any more. */
const invalid = -2
/** Of datconnlimit in FormData_pg_database, before anything that may be null: 15 moved the two collation names behind it. */
const limitAt = (major: number): number => (major === 14 ? 208 : 80)

/**
 * The row of a database that a record marks as going: it overwrites it in place, outside of the transaction that drops the
 * database. Undefined for every other record.
 */
export function readDatabaseMark(record: WalRecord): RowPlace | undefined {
  const row = readLoggedRow(record, 'overwritten', catalogs.database)
  const at = limitAt(record.major)
  const isMark =
    row !== undefined && row.values.byteLength >= at + 4 && row.values.getInt32(at, true) === invalid
  return isMark ? row : undefined
}

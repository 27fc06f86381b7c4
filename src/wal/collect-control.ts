import { OperationError } from '../domain/operation-error.ts'
import { readControlRecord } from './control-records.ts'
import type { ScannedRecord } from './scanned-record.ts'
import type { WalFacts } from './wal-facts.ts'

/** XLOG_NOOP, XLOG_NEXTOID, XLOG_FPI_FOR_HINT and XLOG_FPI in catalog/pg_control.h: many, and nothing of the server itself. */
const otherOperations: ReadonlySet<number> = new Set([0x20, 0x30, 0xa0, 0xb0])
const operationMask = 0xf0

/** RM_XLOG_ID: checkpoints, restore points, ends of recovery, changes of settings. */
export function collectControl(record: ScannedRecord, facts: WalFacts): void {
  if (otherOperations.has(record.info & operationMask)) return
  const { bytes, start, end, mainStart, rmid, info, xid, major, lsn, endLsn } = record
  try {
    const control = readControlRecord({
      lsn,
      endLsn,
      rmid,
      info,
      xid,
      major,
      totalLength: end - start,
      imageBytes: 0,
      mainData: bytes.subarray(mainStart, end),
      bytes: new DataView(bytes.buffer, bytes.byteOffset + start, end - start),
    })
    if (control !== undefined) facts.control.push({ ...control, lsn, endLsn })
  } catch (error) {
    if (!(error instanceof OperationError)) throw error
    facts.noteUnknown(record, error.message)
  }
}

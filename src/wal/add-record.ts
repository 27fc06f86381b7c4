import type { Lsn } from '../domain/lsn.ts'
import { crc32c } from '../platform/crc32c.ts'
import { FactCollector } from './collect-facts.ts'
import type { WalMajor } from './page-header.ts'
import { recordHeaderLength, ScannedRecord } from './scanned-record.ts'
import type { WalProblem } from './wal-end.ts'
import type { WalFacts } from './wal-facts.ts'

/** One record in one piece, put together from the tail of a segment and the head of the next say. */
export interface WholeRecord {
  /** Header included. */
  readonly bytes: Uint8Array
  readonly lsn: Lsn
  /** Where the next record may begin: for a record that crosses segments `endLsn` of the last head. */
  readonly endLsn: Lsn
  readonly major: WalMajor
}

/** It names at most 33 blocks. */
const slotsForOne = 64
/** XLogRecord in access/xlogrecord.h. */
const offsets = { totalLength: 0, crc: 20 } as const

/**
 * Puts what one record did into the facts, if its length, CRC and layout are right; otherwise says what is wrong, and the
 * facts stay as they are. Its link to the record before is for the caller to check.
 */
export function addRecord(
  facts: WalFacts,
  { bytes, lsn, endLsn, major }: WholeRecord,
): WalProblem | undefined {
  const record = new ScannedRecord(major)
  record.bytes = bytes
  record.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (
    bytes.length < recordHeaderLength ||
    record.view.getUint32(offsets.totalLength, true) !== bytes.length
  ) {
    return { reason: 'record-length', detail: `the record is not ${bytes.length} bytes long` }
  }
  const crc = crc32c(bytes.subarray(0, offsets.crc), crc32c(bytes.subarray(recordHeaderLength)))
  if (crc !== record.view.getUint32(offsets.crc, true)) {
    return { reason: 'record-crc', detail: 'the record does not match its CRC' }
  }
  record.place(0, bytes.length)
  if (!record.readLayout()) {
    return { reason: 'record-layout', detail: "the record's parts do not add up to its length" }
  }
  record.lsnHigh = Number(lsn >> 32n)
  record.lsnLow = Number(lsn & 0xffff_ffffn)
  record.endHigh = Number(endLsn >> 32n)
  record.endLow = Number(endLsn & 0xffff_ffffn)
  new FactCollector(facts, major, slotsForOne).add(record)
  return undefined
}

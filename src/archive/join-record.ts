import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { addRecord, type WholeRecord } from '../wal/add-record.ts'
import { WalFacts } from '../wal/wal-facts.ts'

export type JoinedRecord =
  | { readonly kind: 'whole'; readonly facts: WalFacts; readonly isSwitch: boolean }
  /** `reason` goes on after "the record at 0/3000028, of which". */
  | { readonly kind: 'broken'; readonly reason: string }

/** Byte offsets in XLogRecord, access/xlogrecord.h. */
const offsets = { prevLsn: 8, info: 16, rmid: 17 } as const
/** XLOG_SWITCH of RM_XLOG_ID: catalog/pg_control.h. */
const switchInfo = 0x40
const infoMask = 0xf0

/** What a record did that was put together from several segments, if it is whole and names `prevLsn` before it. */
export function joinRecord(record: WholeRecord, prevLsn: Lsn | undefined): JoinedRecord {
  const facts = new WalFacts()
  const problem = addRecord(facts, record)
  if (problem !== undefined) return { kind: 'broken', reason: problem.detail }
  const { bytes } = record
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const named = toLsn(view.getBigUint64(offsets.prevLsn, true))
  if (prevLsn !== undefined && named !== prevLsn) {
    return {
      kind: 'broken',
      reason: `the record names ${formatLsn(named)} before it, expected ${formatLsn(prevLsn)}`,
    }
  }
  const isSwitch =
    view.getUint8(offsets.rmid) === 0 && (view.getUint8(offsets.info) & infoMask) === switchInfo
  return { kind: 'whole', facts, isSwitch }
}

import { OperationError } from '../domain/operation-error.ts'
import { formatLsn, type Lsn } from '../domain/lsn.ts'
import type { WalMajor } from './page-header.ts'
import type { WalRecord } from './record-reader.ts'
import { extra, hasExtraInfo, operationMask } from './transaction-flags.ts'

/** The record that ends a top-level transaction; its effects are visible, or gone, from here on. */
export interface TransactionEnd {
  readonly kind: 'commit' | 'abort'
  /** COMMIT PREPARED or ROLLBACK PREPARED: somebody else's session ended it. */
  readonly isPrepared: boolean
  /** Of the transaction that ended. 0 for a commit without an xid, which only writes what must be replayed. */
  readonly xid: number
  /** TimestampTz: microseconds since 2000-01-01 UTC. Neither unique nor rising along the WAL (M18). */
  readonly time: bigint
  readonly lsn: Lsn
  readonly endLsn: Lsn
}

/** RM_XACT_ID in access/rmgrlist.h. */
const transactionManager = 1

/** Operations of xl_info, XLOG_XACT_* in access/xact.h. */
const operations: ReadonlyMap<number, Pick<TransactionEnd, 'kind' | 'isPrepared'>> = new Map([
  [0x00, { kind: 'commit', isPrepared: false }],
  [0x20, { kind: 'abort', isPrepared: false }],
  [0x30, { kind: 'commit', isPrepared: true }],
  [0x40, { kind: 'abort', isPrepared: true }],
])

interface Part {
  readonly flag: number
  /** Bytes before the entries; with entries these are their count. */
  readonly headBytes: number
  readonly entryBytes: number
}

/** Undefined for every record that does not end a transaction. */
export function readTransactionEnd(record: WalRecord): TransactionEnd | undefined {
  if (record.rmid !== transactionManager) return undefined
  const operation = operations.get(record.info & operationMask)
  if (operation === undefined) return undefined
  const { mainData, lsn, endLsn } = record
  const data = new DataView(mainData.buffer, mainData.byteOffset, mainData.byteLength)
  if (data.byteLength < 8) throw tooShort(record)
  const xid = operation.isPrepared ? readPreparedXid(record, data) : record.xid
  return { ...operation, xid, time: data.getBigInt64(0, true), lsn, endLsn }
}

/** The record's own xid is the one of the session that ended it; the transaction's stands behind its other parts. */
function readPreparedXid(record: WalRecord, data: DataView): number {
  const flags = (record.info & hasExtraInfo) !== 0 && data.byteLength >= 12 ? data.getUint32(8, true) : 0
  let offset = 12
  for (const { flag, headBytes, entryBytes } of partsBeforeXid(record.major)) {
    if ((flags & flag) === 0) continue
    if (data.byteLength - offset < headBytes) throw tooShort(record)
    offset += headBytes + (entryBytes === 0 ? 0 : entryBytes * data.getUint32(offset, true))
  }
  if ((flags & extra.twoPhase) === 0 || data.byteLength - offset < 4) throw tooShort(record)
  return data.getUint32(offset, true)
}

/**
 * In the order of ParseCommitRecord and ParseAbortRecord in access/rmgrdesc/xactdesc.c; an abort has no invalidations.
 * Statistics came with 15 (xl_xact_stats_item), and with 18 their object id grew from 32 to 64 bits.
 */
function partsBeforeXid(major: WalMajor): readonly Part[] {
  return [
    { flag: extra.database, headBytes: 8, entryBytes: 0 },
    { flag: extra.subtransactions, headBytes: 4, entryBytes: 4 },
    { flag: extra.relations, headBytes: 4, entryBytes: 12 },
    ...(major === 14
      ? []
      : [{ flag: extra.droppedStatistics, headBytes: 4, entryBytes: major < 18 ? 12 : 16 }]),
    { flag: extra.invalidations, headBytes: 4, entryBytes: 16 },
  ]
}

function tooShort({ lsn, mainData }: WalRecord): OperationError {
  return new OperationError(
    'damaged',
    `the transaction record at ${formatLsn(lsn)} cannot be read: ${mainData.length} bytes are too few for its parts`,
    {
      hint: 'Report this with the WAL segment: its checksum is right, so this version of the tool misreads it.',
    },
  )
}

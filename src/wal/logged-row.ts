import { managers } from './known-operations.ts'
import { readOnlyImage } from './page-image.ts'
import { pageBytes, readBlockReferences, recordHeaderLength } from './record-body.ts'
import type { WalRecord } from './record-reader.ts'
import type { RelationId } from './row-counts.ts'

/** A row that a record changed, by where it lies. */
export interface RowPlace extends RelationId {
  readonly block: number
  /** Of its line pointer in the page, from 1. */
  readonly offset: number
}

/** A row as a record has it. */
export interface LoggedRow extends RowPlace {
  /** Its columns, as they lie in a tuple. A view, valid until the next record is asked for. */
  readonly values: DataView
}

type Operation = keyof typeof operations

/** XLOG_HEAP_OPMASK in access/heapam_xlog.h. */
const operationMask = 0x70
/** XLOG_HEAP2_NEW_CID there. */
const newCommandId = 0x70
/**
 * XLOG_HEAP_* in access/heapam_xlog.h, where their structures have the offset of the row, and how many bytes of a tuple's header
 * stand before its columns; the same in 14 to 18.
 */
const operations = {
  inserted: { code: 0x00, offsetAt: 0, hasHeader: true },
  deleted: { code: 0x10, offsetAt: 4, hasHeader: false },
  overwritten: { code: 0x70, offsetAt: 0, hasHeader: false },
} as const

/** SizeOfHeapHeader in access/heapam_xlog.h: two infomasks and t_hoff, which stands at 4. */
const loggedHeader = { length: 5, headerLengthAt: 4 } as const
/** SizeofHeapTupleHeader and t_hoff in access/htup_details.h. */
const tupleHeader = { length: 23, headerLengthAt: 22 } as const
/** A page header, then line pointers of four bytes, whose lowest 15 bits are lp_off: storage/bufpage.h, itemid.h. */
const linePointers = { at: 24, bytes: 4, offsetMask: 0x7fff } as const
/** Where XLogRecordBlockHeader in access/xlogrecord.h has the length of what belongs to the block, beside its image. */
const dataLengthAt = 2

interface Found extends RowPlace {
  readonly hasImage: boolean
}

/** The row of one table that a record changed in this way. Undefined for every other record. */
export function readRowPlace(
  record: WalRecord,
  operation: Operation,
  relation: number,
): RowPlace | undefined {
  return find(record, operation, relation)
}

/** As `readRowPlace`, with the columns: logged by themselves, or in the image of their page. */
export function readLoggedRow(
  record: WalRecord,
  operation: Exclude<Operation, 'deleted'>,
  relation: number,
): LoggedRow | undefined {
  const found = find(record, operation, relation)
  if (found === undefined) return undefined
  const values =
    valuesOf(record, operations[operation].hasHeader) ??
    (found.hasImage ? valuesInImage(record, found.offset) : undefined)
  return values && { ...found, values }
}

/** What the server writes before the record of a change of a catalog, when `wal_level` is `logical`. */
export const isNewCommandId = ({ rmid, info }: WalRecord): boolean =>
  rmid === managers.heap2 && (info & operationMask) === newCommandId

function find(record: WalRecord, operation: Operation, relation: number): Found | undefined {
  const { code, offsetAt } = operations[operation]
  if (record.rmid !== managers.heap || (record.info & operationMask) !== code) return undefined
  const [block] = readBlockReferences(record.bytes, record.major) ?? []
  const { buffer, byteOffset, byteLength } = record.mainData
  if (block?.relation !== relation || byteLength < offsetAt + 2) return undefined
  // What PostgreSQL writes has its block first, and nothing of the record is anywhere else.
  if (record.bytes.getUint8(recordHeaderLength) !== 0) return undefined
  const offset = new DataView(buffer, byteOffset, byteLength).getUint16(offsetAt, true)
  return { ...block, offset }
}

/** What belongs to the block comes right before the main data. */
function valuesOf({ bytes, mainData }: WalRecord, hasHeader: boolean): DataView | undefined {
  const dataLength = bytes.getUint16(recordHeaderLength + dataLengthAt, true)
  const end = bytes.byteLength - mainData.byteLength
  const start = end - dataLength
  if (dataLength <= loggedHeader.length || start < recordHeaderLength) return undefined
  if (!hasHeader) return part(bytes, start, end)
  const headerLength = bytes.getUint8(start + loggedHeader.headerLengthAt)
  return part(bytes, start + loggedHeader.length + headerLength - tupleHeader.length, end)
}

function valuesInImage(record: WalRecord, offset: number): DataView | undefined {
  const image = readOnlyImage(record)
  if (image === undefined) return undefined
  const page = new DataView(image.buffer)
  const pointerAt = linePointers.at + (offset - 1) * linePointers.bytes
  if (offset < 1 || pointerAt + linePointers.bytes > pageBytes) return undefined
  const tuple = page.getUint32(pointerAt, true) & linePointers.offsetMask
  if (tuple + tupleHeader.length > pageBytes) return undefined
  return part(page, tuple + page.getUint8(tuple + tupleHeader.headerLengthAt), pageBytes)
}

function part(bytes: DataView, from: number, to: number): DataView | undefined {
  if (from < 0 || to < from || to > bytes.byteLength) return undefined
  return new DataView(bytes.buffer, bytes.byteOffset + from, to - from)
}

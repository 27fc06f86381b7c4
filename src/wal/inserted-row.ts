import { pageBytes, readOnlyImage } from './page-image.ts'
import { readBlockReferences, recordHeaderLength } from './record-body.ts'
import type { WalRecord } from './record-reader.ts'
import type { RelationId } from './row-counts.ts'

/** A row that a record inserts into a table. */
export interface InsertedRow extends RelationId {
  /** Its columns, as they lie in a tuple. A view, valid until the next record is asked for. */
  readonly values: DataView
}

/** RM_HEAP_ID in access/rmgrlist.h; XLOG_HEAP_INSERT and XLOG_HEAP_OPMASK in access/heapam_xlog.h. */
const heapManager = 10
const insertOperation = 0x00
const operationMask = 0x70

/** SizeOfHeapHeader in access/heapam_xlog.h: two infomasks and t_hoff, which stands at 4. */
const loggedHeader = { length: 5, headerLengthAt: 4 } as const
/** SizeofHeapTupleHeader and t_hoff in access/htup_details.h. */
const tupleHeader = { length: 23, headerLengthAt: 22 } as const
/** A page header, then line pointers of four bytes, whose lowest 15 bits are lp_off: storage/bufpage.h, itemid.h. */
const linePointers = { at: 24, bytes: 4, offsetMask: 0x7fff } as const
/** Where XLogRecordBlockHeader in access/xlogrecord.h has the length of what belongs to the block, beside its image. */
const dataLengthAt = 2

/**
 * The row of a record that inserts one: logged by itself, or in the image of its page. Undefined for other records.
 */
export function readInsertedRow(record: WalRecord): InsertedRow | undefined {
  if (record.rmid !== heapManager || (record.info & operationMask) !== insertOperation) return undefined
  const [block, ...others] = readBlockReferences(record.bytes, record.major) ?? []
  if (block === undefined || others.length > 0) return undefined
  const { tablespace, database, relation } = block
  const values = loggedRow(record) ?? (block.hasImage ? rowInImage(record) : undefined)
  return values && { tablespace, database, relation, values }
}

/** What belongs to the block comes right before the main data. */
function loggedRow({ bytes, mainData }: WalRecord): DataView | undefined {
  const dataLength = bytes.getUint16(recordHeaderLength + dataLengthAt, true)
  const start = bytes.byteLength - mainData.byteLength - dataLength
  if (dataLength <= loggedHeader.length) return undefined
  const headerLength = bytes.getUint8(start + loggedHeader.headerLengthAt)
  return part(bytes, start + loggedHeader.length + headerLength - tupleHeader.length, start + dataLength)
}

function rowInImage(record: WalRecord): DataView | undefined {
  const { mainData } = record
  const image = readOnlyImage(record)
  if (image === undefined || mainData.byteLength < 2) return undefined
  const page = new DataView(image.buffer)
  const number = new DataView(mainData.buffer, mainData.byteOffset, 2).getUint16(0, true)
  const pointerAt = linePointers.at + (number - 1) * linePointers.bytes
  if (number < 1 || pointerAt + linePointers.bytes > pageBytes) return undefined
  const tuple = page.getUint32(pointerAt, true) & linePointers.offsetMask
  if (tuple + tupleHeader.length > pageBytes) return undefined
  return part(page, tuple + page.getUint8(tuple + tupleHeader.headerLengthAt), pageBytes)
}

function part(bytes: DataView, from: number, to: number): DataView | undefined {
  if (from < 0 || to < from || to > bytes.byteLength) return undefined
  return new DataView(bytes.buffer, bytes.byteOffset + from, to - from)
}

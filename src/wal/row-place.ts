import type { WalRecord } from './record-reader.ts'
import { readBlockReferences } from './record-body.ts'
import type { RelationId } from './row-counts.ts'

/** A row that a record changed, by where it lies. */
export interface RowPlace extends RelationId {
  readonly operation: 'deleted' | 'overwritten'
  readonly block: number
  /** Of its line pointer in the page. */
  readonly offset: number
}

/** RM_HEAP_ID in access/rmgrlist.h. */
const heapManager = 10
/** XLOG_HEAP_OPMASK in access/heapam_xlog.h. */
const operationMask = 0x70

/**
 * XLOG_HEAP_DELETE and XLOG_HEAP_INPLACE in access/heapam_xlog.h, and where their structures, xl_heap_delete and
 * xl_heap_inplace, have the offset of the row; the same in 14 to 18.
 */
const operations: ReadonlyMap<number, { readonly operation: RowPlace['operation']; readonly at: number }> =
  new Map([
    [0x10, { operation: 'deleted', at: 4 }],
    [0x70, { operation: 'overwritten', at: 0 }],
  ])

/** The row that a record deletes, or overwrites where it is, outside of any transaction. Undefined for other records. */
export function readRowPlace(record: WalRecord): RowPlace | undefined {
  const found = record.rmid === heapManager ? operations.get(record.info & operationMask) : undefined
  const [block] = found === undefined ? [] : (readBlockReferences(record.bytes, record.major) ?? [])
  const { buffer, byteOffset, byteLength } = record.mainData
  if (found === undefined || block === undefined || byteLength < found.at + 2) return undefined
  const offset = new DataView(buffer, byteOffset, byteLength).getUint16(found.at, true)
  const { tablespace, database, relation } = block
  return { operation: found.operation, tablespace, database, relation, block: block.block, offset }
}

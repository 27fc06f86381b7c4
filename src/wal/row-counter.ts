import type { ForkCache } from './fork-cache.ts'
import type { ScannedRecord } from './scanned-record.ts'
import type { WalFacts } from './wal-facts.ts'

/** XLOG_HEAP_OPMASK, XLOG_HEAP_* and XLOG_HEAP2_* in access/heapam_xlog.h. */
const operationMask = 0x70
const operations = {
  insert: 0x00,
  delete: 0x10,
  update: 0x20,
  truncate: 0x30,
  hotUpdate: 0x40,
  confirm: 0x50,
  multiInsert2: 0x50,
} as const
/** XLH_INSERT_IS_SPECULATIVE, at 2 in xl_heap_insert: ON CONFLICT, which may take the row back or confirm it. */
const speculativeInsert = { at: 2, bit: 1 << 2 } as const
/** XLH_DELETE_IS_SUPER, at 7 in xl_heap_delete: takes back a row that was inserted speculatively. */
const superDelete = { at: 7, bit: 1 << 3 } as const
/** `ntuples` in xl_heap_multi_insert. */
const multiInsertTuplesAt = 2
/** xl_heap_truncate: database, number of tables, flags, tables. */
const truncateHeadBytes = 12

/** Counts the rows of heap records. */
export class RowCounter {
  readonly #facts: WalFacts
  readonly #forks: ForkCache

  constructor(facts: WalFacts, forks: ForkCache) {
    this.#facts = facts
    this.#forks = forks
  }

  /** RM_HEAP_ID */
  count(record: ScannedRecord): void {
    switch (record.info & operationMask) {
      case operations.insert:
        // A speculative row counts when it is confirmed.
        if (!hasFlag(record, speculativeInsert)) this.#addInserted(record, 1)
        return
      case operations.confirm:
        this.#addInserted(record, 1)
        return
      case operations.delete:
        if (!hasFlag(record, superDelete)) this.#addDeleted(record)
        return
      case operations.update:
      case operations.hotUpdate:
        this.#addUpdated(record)
        return
      case operations.truncate:
        this.#addTruncation(record)
        return
      default:
    }
  }

  /** RM_HEAP2_ID */
  count2(record: ScannedRecord): void {
    if ((record.info & operationMask) !== operations.multiInsert2) return
    if (record.mainLength < multiInsertTuplesAt + 2) this.#facts.noteUnknown(record, 'it is too short')
    else this.#addInserted(record, record.view.getUint16(record.mainStart + multiInsertTuplesAt, true))
  }

  #addInserted(record: ScannedRecord, rows: number): void {
    const index = this.#indexOf(record)
    if (index >= 0) this.#facts.rows.addInserted(index, rows)
  }

  #addDeleted(record: ScannedRecord): void {
    const index = this.#indexOf(record)
    if (index >= 0) this.#facts.rows.addDeleted(index)
  }

  #addUpdated(record: ScannedRecord): void {
    const index = this.#indexOf(record)
    if (index >= 0) this.#facts.rows.addUpdated(index)
  }

  /** Block 0 of all these is the page that has the row, or its new version. */
  #indexOf(record: ScannedRecord): number {
    if (record.blockCount === 0) {
      this.#facts.noteUnknown(record, 'it names no page')
      return -1
    }
    return this.#facts.rows.indexOf(this.#forks.relationIndexOf(record, 0), record.xid)
  }

  /** Only logged for logical decoding; names tables by OID. */
  #addTruncation(record: ScannedRecord): void {
    const { view, mainStart, mainLength } = record
    const count = mainLength < truncateHeadBytes ? -1 : view.getUint32(mainStart + 4, true)
    if (count < 0 || mainLength < truncateHeadBytes + 4 * count) {
      this.#facts.noteUnknown(record, 'it is too short')
      return
    }
    for (let index = 0; index < count; index += 1) {
      this.#facts.relationEvents.add({
        kind: 'table-truncated',
        tablespace: 0,
        database: view.getUint32(mainStart, true),
        relation: view.getUint32(mainStart + truncateHeadBytes + 4 * index, true),
        fork: 0,
        block: 0,
        xid: record.xid,
        lsn: record.lsn,
      })
    }
  }
}

function hasFlag(record: ScannedRecord, flag: { readonly at: number; readonly bit: number }): boolean {
  if (record.mainLength <= flag.at) return false
  return ((record.bytes[record.mainStart + flag.at] ?? 0) & flag.bit) !== 0
}

import type { ScannedRecord } from './scanned-record.ts'
import { extra, hasExtraInfo, operationMask } from './transaction-flags.ts'

/** XLOG_XACT_COMMIT_PREPARED and XLOG_XACT_ABORT_PREPARED in access/xact.h. */
const preparedOperations = { commit: 0x30, abort: 0x40 } as const

const xidBytes = 4
const relationBytes = 12
const invalidationBytes = 16

/**
 * Finds the parts of the record that ends a transaction: time, then by flags what ParseCommitRecord and ParseAbortRecord in
 * access/rmgrdesc/xactdesc.c read, in their order. One object serves all records.
 */
export class TransactionParts {
  subxidsAt = 0
  subxidCount = 0
  relationsAt = 0
  relationCount = 0
  /** Of COMMIT PREPARED and ROLLBACK PREPARED: the transaction that ended. */
  twoPhaseXid = 0
  #offset = 0
  #flags = 0

  /** False when the record is too short for its parts. */
  read(record: ScannedRecord): boolean {
    this.subxidCount = 0
    this.relationCount = 0
    this.twoPhaseXid = 0
    const { mainStart, mainLength, info, view } = record
    const hasFlags = (info & hasExtraInfo) !== 0
    if (mainLength < (hasFlags ? 12 : 8)) return false
    this.#flags = hasFlags ? view.getUint32(mainStart + 8, true) : 0
    this.#offset = mainStart + 12
    return (!hasFlags || this.#readLists(record)) && (!isPrepared(record) || this.#readTwoPhaseXid(record))
  }

  #readLists(record: ScannedRecord): boolean {
    if (this.#has(extra.database)) this.#offset += 8
    if (this.#has(extra.subtransactions)) {
      this.subxidCount = this.#takeList(record, xidBytes)
      if (this.subxidCount < 0) return false
      this.subxidsAt = this.#offset - xidBytes * this.subxidCount
    }
    if (this.#has(extra.relations)) {
      this.relationCount = this.#takeList(record, relationBytes)
      if (this.relationCount < 0) return false
      this.relationsAt = this.#offset - relationBytes * this.relationCount
    }
    return true
  }

  /** Statistics came with 15 (xl_xact_stats_item), and with 18 their object id grew from 32 to 64 bits. */
  #readTwoPhaseXid(record: ScannedRecord): boolean {
    const statisticsBytes = record.major < 18 ? 12 : 16
    if (this.#has(extra.droppedStatistics) && this.#takeList(record, statisticsBytes) < 0) return false
    if (this.#has(extra.invalidations) && this.#takeList(record, invalidationBytes) < 0) return false
    if (!this.#has(extra.twoPhase) || record.end - this.#offset < 4) return false
    this.twoPhaseXid = record.view.getUint32(this.#offset, true)
    return true
  }

  /** Passes a count and as many entries. Gives the count; -1 when they are not all there. */
  #takeList(record: ScannedRecord, entryBytes: number): number {
    if (record.end - this.#offset < 4) return -1
    const count = record.view.getUint32(this.#offset, true)
    this.#offset += 4 + entryBytes * count
    return this.#offset > record.end ? -1 : count
  }

  #has(flag: number): boolean {
    return (this.#flags & flag) !== 0
  }
}

function isPrepared({ info }: ScannedRecord): boolean {
  const operation = info & operationMask
  return operation === preparedOperations.commit || operation === preparedOperations.abort
}

import { collectControl } from './collect-control.ts'
import { collectDatabase, collectStorage } from './collect-files.ts'
import { collectTransaction } from './collect-transaction.ts'
import { ForkCache } from './fork-cache.ts'
import { firstCustomManager, knownOperationsOf, managers } from './known-operations.ts'
import type { WalMajor } from './page-header.ts'
import { RowCounter } from './row-counter.ts'
import type { ScannedRecord } from './scanned-record.ts'
import type { WalFacts } from './wal-facts.ts'

/** Puts what records did into the facts. The records of one major version, one after the other. */
export class FactCollector {
  readonly facts: WalFacts
  readonly #knownOperations: Uint16Array
  readonly #forks: ForkCache
  readonly #rows: RowCounter

  /** `slotCount`: of the cache of forks, which for one record need not be large. */
  constructor(facts: WalFacts, major: WalMajor, slotCount?: number) {
    this.facts = facts
    this.#knownOperations = knownOperationsOf(major)
    this.#forks = new ForkCache(facts.changes, facts.rows, slotCount)
    this.#rows = new RowCounter(facts, this.#forks)
  }

  /** The record's layout must have been read. */
  add(record: ScannedRecord): void {
    const { blockCount, xid, topLevelXid } = record
    for (let block = 0; block < blockCount; block += 1) {
      this.#forks.forkOf(record, block).add(record.blockNumberOf(block))
    }
    if (xid !== 0) this.facts.firstLsns.see(xid, record.lsnHigh, record.lsnLow)
    if (topLevelXid !== 0) this.facts.firstLsns.setParent(xid, topLevelXid)
    const known = this.#knownOperations[record.rmid] ?? 0
    if (((known >>> (record.info >>> 4)) & 1) === 0) this.#addUnknown(record)
    else this.#addByManager(record)
  }

  #addByManager(record: ScannedRecord): void {
    switch (record.rmid) {
      case managers.heap:
        this.#rows.count(record)
        return
      case managers.heap2:
        this.#rows.count2(record)
        return
      case managers.transaction:
        collectTransaction(record, this.facts)
        return
      case managers.xlog:
        collectControl(record, this.facts)
        return
      case managers.storage:
        collectStorage(record, this.facts)
        return
      case managers.database:
        collectDatabase(record, this.facts)
        return
      default:
    }
  }

  #addUnknown(record: ScannedRecord): void {
    const isCustom = record.rmid >= firstCustomManager
    this.facts.noteUnknown(
      record,
      isCustom ? "an extension's resource manager wrote it" : 'its resource manager has no such operation',
    )
  }
}

import type { Lsn } from '../domain/lsn.ts'
import { ChangedBlocks } from './changed-blocks.ts'
import type { ControlRecord } from './control-records.ts'
import { FirstLsns } from './first-lsns.ts'
import { RelationEvents } from './relation-events.ts'
import { RowCounts } from './row-counts.ts'
import { TransactionEnds } from './transaction-ends.ts'

/** A record of the server about itself, and where it lies. */
export type PlacedControlRecord = ControlRecord & { readonly lsn: Lsn; readonly endLsn: Lsn }

/** A record that this version of the tool cannot say everything about. */
export interface UnknownRecord {
  readonly lsn: Lsn
  readonly rmid: number
  readonly info: number
  /** For people. */
  readonly why: string
}

/** What records did, in columns: thousands of records a megabyte, and no object for each. */
export class WalFacts {
  readonly transactions = new TransactionEnds()
  readonly firstLsns = new FirstLsns()
  readonly rows = new RowCounts()
  readonly relationEvents = new RelationEvents()
  readonly control: PlacedControlRecord[] = []
  /** The first record that may have changed more than is told here. With one, `changes` proves nothing. */
  unknown: UnknownRecord | undefined
  #changes: ChangedBlocks | undefined
  readonly #readChanges: () => ChangedBlocks

  /** `readChanges` is asked when the changes are: they are most of the facts, and not everybody wants them. */
  constructor(readChanges: () => ChangedBlocks = () => new ChangedBlocks()) {
    this.#readChanges = readChanges
  }

  /** Every block that a record names, whatever the fork, and what was created, truncated or dropped (R51). */
  get changes(): ChangedBlocks {
    return (this.#changes ??= this.#readChanges())
  }

  /** Keeps the first one. */
  noteUnknown(record: Omit<UnknownRecord, 'why'>, why: string): void {
    if (this.unknown !== undefined) return
    const { lsn, rmid, info } = record
    this.unknown = { lsn, rmid, info, why }
  }
}

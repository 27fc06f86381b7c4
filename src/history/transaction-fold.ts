import type { Lsn } from '../domain/lsn.ts'
import { instantFromPostgres } from '../domain/target-time.ts'
import type { FirstLsns } from '../wal/first-lsns.ts'
import { PairTable } from '../wal/pair-table.ts'
import type { RelationEvent } from '../wal/relation-events.ts'
import { relationKey } from '../wal/row-counts.ts'
import type { TransactionEnds } from '../wal/transaction-ends.ts'
import type { WalFacts } from '../wal/wal-facts.ts'
import type { ChangedRows, MadeFile, PastTransaction } from './past-transaction.ts'

/** What is known of a transaction or subtransaction that has not ended yet. */
interface OpenTransaction extends Begun {
  readonly done: Done
}

/** Where something began. */
interface Begun {
  /** Undefined when it may have begun before what was read. */
  readonly firstLsn: Lsn | undefined
  /** Commits before its first record, counted from where the reading began. */
  readonly commitsBefore: number
}

/** What was done to rows and files. */
class Done {
  readonly rows = new Map<string, ChangedRows>()
  readonly events: RelationEvent[] = []
  readonly madeFiles: MadeFile[] = []

  addRows(rows: ChangedRows): void {
    const { tablespace, database, relation, inserted, updated, deleted } = rows
    const key = relationKey(rows)
    const known = this.rows.get(key)
    this.rows.set(key, {
      tablespace,
      database,
      relation,
      inserted: inserted + (known?.inserted ?? 0),
      updated: updated + (known?.updated ?? 0),
      deleted: deleted + (known?.deleted ?? 0),
    })
  }

  addEvent(event: RelationEvent): void {
    this.events.push(event)
    const { kind, fork, tablespace, database, relation } = event
    if (kind !== 'created' || fork !== 0) return
    this.madeFiles.push({ tablespace, database, relation, hasPages: false, hasRows: false })
  }

  addAll({ rows, events, madeFiles }: Done): void {
    for (const row of rows.values()) this.addRows(row)
    for (const event of events) this.events.push(event)
    for (const file of madeFiles) this.madeFiles.push(file)
  }

  /** What a stretch says of the files that were made. */
  lookAtFiles({ changes, rows }: WalFacts): void {
    for (const file of this.madeFiles) {
      file.hasPages ||= (changes.find({ ...file, fork: 0 })?.count ?? 0) > 0
      file.hasRows ||= rows.hasRelation(file)
    }
  }
}

export interface FoldOptions {
  /** Transactions are told that updated, or deleted, this many rows in all, and those that dropped or made files. */
  readonly minRows: number
  readonly take: (transaction: PastTransaction) => void
}

/** Transactions that were open at a crash never end: beyond this many the oldest are forgotten. */
const mostOpen = 1_000_000
const noEnd = -1

/**
 * Folds what stretches of WAL say into ended transactions: rows and files of subtransactions and of earlier segments
 * belong to the top-level transaction that ends. Most transactions begin and end in one segment and change few rows: they
 * cost two passes over columns, and no object.
 */
export class TransactionFold {
  readonly #options: FoldOptions
  readonly #open = new Map<number, OpenTransaction>()
  #commits = 0
  /** Transactions up to this xid may have begun before what was read; undefined until there is any xid. */
  #oldestSureXid: number | undefined

  constructor(options: FoldOptions) {
    this.#options = options
  }

  /** How many transactions were committed so far. */
  get commitCount(): number {
    return this.#commits
  }

  /** Forgets what has not ended: the WAL has a hole here, and what ends behind it is not all of its transaction. */
  breakOff(): void {
    this.#open.clear()
    this.#oldestSureXid = undefined
  }

  /** The next stretch. */
  add(facts: WalFacts): void {
    const stretch = new Stretch(facts)
    this.#oldestSureXid ??= xidBehind(facts.firstLsns)
    const wanted = this.#wantedEnds(stretch)
    const details = stretch.detailsOf(wanted)
    for (const end of wanted) this.#options.take(this.#finish(stretch, end, details.get(end) ?? new Done()))
    this.#keepOpen(stretch)
    this.#forgetEnded(stretch)
    this.#commits += stretch.commitsUpTo(facts.transactions.count)
  }

  /** The ends that may be worth telling: of many rows, of files, or of transactions that began before. */
  #wantedEnds({ facts, totals, endOf }: Stretch): readonly number[] {
    const { minRows } = this.#options
    const { transactions } = facts
    const wanted = new Set<number>()
    for (let end = 0; end < transactions.count; end += 1) {
      const isLarge = (totals.updated[end] ?? 0) >= minRows || (totals.deleted[end] ?? 0) >= minRows
      if (isLarge || this.#isOpen(transactions, end)) wanted.add(end)
    }
    for (const { xid } of facts.relationEvents) {
      const end = endOf(xid)
      if (end !== noEnd) wanted.add(end)
    }
    return [...wanted].toSorted((one, other) => one - other)
  }

  #isOpen(transactions: TransactionEnds, end: number): boolean {
    if (this.#open.size === 0) return false
    if (this.#open.has(transactions.xidAt(end))) return true
    for (const subxid of transactions.subxidsAt(end)) if (this.#open.has(subxid)) return true
    return false
  }

  #finish(stretch: Stretch, end: number, details: Done): PastTransaction {
    const { transactions, firstLsns } = stretch.facts
    const done = new Done()
    let begun: Begun | undefined
    for (const xid of [transactions.xidAt(end), ...transactions.subxidsAt(end)]) {
      const open = this.#open.get(xid)
      if (open === undefined && firstLsns.find(xid)?.lsn === undefined) continue // it wrote nothing by itself
      begun = earlier(begun, open ?? this.#beginningOf(stretch, xid))
      if (open !== undefined) done.addAll(open.done)
    }
    done.addAll(details)
    done.lookAtFiles(stretch.facts)
    const { firstLsn, commitsBefore } = begun ?? unknownBeginning
    const ended = {
      xid: transactions.xidAt(end),
      isAborted: transactions.isAbortAt(end),
      isPrepared: transactions.at(end).isPrepared,
      time: instantFromPostgres(transactions.timeAt(end)),
      firstLsn,
      endRecordLsn: transactions.lsnAt(end),
      commitsMeanwhile:
        firstLsn === undefined ? undefined : this.#commits + stretch.commitsUpTo(end) - commitsBefore,
    }
    return { ended, rows: [...done.rows.values()], events: done.events, madeFiles: done.madeFiles }
  }

  /** Of one that has a record in this stretch, and none in those before. */
  #beginningOf(stretch: Stretch, xid: number): Begun {
    const firstLsn = stretch.facts.firstLsns.find(xid)?.lsn
    if (firstLsn === undefined || !this.#isSure(xid)) return unknownBeginning
    return { firstLsn, commitsBefore: this.#commits + stretch.commitsBefore(firstLsn) }
  }

  #isSure(xid: number): boolean {
    return this.#oldestSureXid !== undefined && xidDistance(this.#oldestSureXid, xid) >= 0
  }

  /** Keeps what the stretch says of transactions that do not end in it. */
  #keepOpen(stretch: Stretch): void {
    const { firstLsns, rows } = stretch.facts
    for (let index = 0; index < firstLsns.count; index += 1) {
      const xid = firstLsns.xidAt(index)
      if (stretch.endOf(xid) !== noEnd || this.#open.has(xid)) continue
      this.#open.set(xid, { ...this.#beginningOf(stretch, xid), done: new Done() })
    }
    for (let index = 0; index < rows.count; index += 1) {
      const xid = rows.xidAt(index)
      if (stretch.endOf(xid) === noEnd) this.#open.get(xid)?.done.addRows(rows.at(index))
    }
    this.#keepEvents(stretch)
    this.#forgetOldest()
  }

  #keepEvents({ facts, endOf }: Stretch): void {
    for (const event of facts.relationEvents) {
      if (endOf(event.xid) === noEnd) this.#open.get(event.xid)?.done.addEvent(event)
    }
    for (const { done } of this.#open.values()) done.lookAtFiles(facts)
  }

  #forgetOldest(): void {
    for (const xid of this.#open.keys()) {
      if (this.#open.size <= mostOpen) return
      this.#open.delete(xid)
    }
  }

  #forgetEnded({ facts: { transactions } }: Stretch): void {
    if (this.#open.size === 0) return
    for (let end = 0; end < transactions.count; end += 1) {
      this.#open.delete(transactions.xidAt(end))
      for (const subxid of transactions.subxidsAt(end)) this.#open.delete(subxid)
    }
  }
}

const unknownBeginning: Begun = { firstLsn: undefined, commitsBefore: 0 }

/** The earlier one; not known when one of them is not. */
function earlier(one: Begun | undefined, other: Begun): Begun {
  if (one === undefined) return other
  if (one.firstLsn === undefined || other.firstLsn === undefined) return unknownBeginning
  return one.firstLsn <= other.firstLsn ? one : other
}

/** The xid behind all those that are mentioned: who has it began after that. Undefined when there are none. */
function xidBehind(firstLsns: FirstLsns): number | undefined {
  let newest: number | undefined
  for (let index = 0; index < firstLsns.count; index += 1) {
    const xid = firstLsns.xidAt(index)
    if (newest === undefined || xidDistance(newest, xid) > 0) newest = xid
  }
  return newest === undefined ? undefined : (newest + 1) >>> 0
}

/** How far `to` is ahead of `from`, as TransactionIdPrecedes in access/transam/transam.c compares them. */
const xidDistance = (from: number, to: number): number => (to - from) | 0

/** One stretch of WAL, with what is looked up in it. */
class Stretch {
  readonly facts: WalFacts
  /** By end: rows that the transaction changed in this stretch. */
  readonly totals: { readonly updated: Uint32Array; readonly deleted: Uint32Array }
  /** The xid of each transaction and subtransaction that ends here, and by their index the end. */
  readonly #xids = new PairTable()
  readonly #ends: number[] = []
  /** By end: the commits before it. Made when it is first asked for. */
  #commits: Uint32Array | undefined

  constructor(facts: WalFacts) {
    this.facts = facts
    const { transactions, rows } = facts
    for (let end = 0; end < transactions.count; end += 1) {
      this.#addEnd(transactions.xidAt(end), end)
      for (const subxid of transactions.subxidsAt(end)) this.#addEnd(subxid, end)
    }
    const [updated, deleted] = [new Uint32Array(transactions.count), new Uint32Array(transactions.count)]
    for (let index = 0; index < rows.count; index += 1) {
      const end = this.endOf(rows.xidAt(index))
      if (end === noEnd) continue
      updated[end] = (updated[end] ?? 0) + rows.updatedAt(index)
      deleted[end] = (deleted[end] ?? 0) + rows.deletedAt(index)
    }
    this.totals = { updated, deleted }
  }

  #addEnd(xid: number, end: number): void {
    this.#ends[this.#xids.indexOf(0, xid)] = end
  }

  /** The end of the transaction or subtransaction; `noEnd` when it does not end here. */
  readonly endOf = (xid: number): number => {
    const index = this.#xids.find(0, xid)
    return index < 0 ? noEnd : (this.#ends[index] ?? noEnd)
  }

  /** Commits here that come before the one with this index. */
  commitsUpTo(end: number): number {
    if (this.#commits === undefined) {
      const { transactions } = this.facts
      this.#commits = new Uint32Array(transactions.count + 1)
      for (let index = 0; index < transactions.count; index += 1) {
        this.#commits[index + 1] = (this.#commits[index] ?? 0) + (transactions.isAbortAt(index) ? 0 : 1)
      }
    }
    return this.#commits[end] ?? 0
  }

  /** Commits here whose records begin before this LSN. */
  commitsBefore(lsn: Lsn): number {
    const { transactions } = this.facts
    let [low, high] = [0, transactions.count]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (transactions.lsnAt(middle) < lsn) low = middle + 1
      else high = middle
    }
    return this.commitsUpTo(low)
  }

  /** What those with these ends did in this stretch. */
  detailsOf(ends: readonly number[]): ReadonlyMap<number, Done> {
    const details = new Map<number, Done>()
    if (ends.length === 0) return details
    for (const end of ends) details.set(end, new Done())
    const { rows, relationEvents } = this.facts
    for (let index = 0; index < rows.count; index += 1)
      details.get(this.endOf(rows.xidAt(index)))?.addRows(rows.at(index))
    for (const event of relationEvents) details.get(this.endOf(event.xid))?.addEvent(event)
    return details
  }
}

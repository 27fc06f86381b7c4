import type { ScannedRecord } from './scanned-record.ts'
import { TransactionParts } from './transaction-parts.ts'
import type { WalFacts } from './wal-facts.ts'

/** XLOG_XACT_OPMASK and XLOG_XACT_* in access/xact.h. */
const operationMask = 0x70
const operations = {
  commit: 0x00,
  abort: 0x20,
  commitPrepared: 0x30,
  abortPrepared: 0x40,
  assignment: 0x50,
} as const
/** Main, fsm, vm, init: a relation is dropped with all its forks. */
const forkCount = 4
/** xl_xact_assignment: top-level transaction, number of subtransactions, subtransactions. */
const assignmentHeadBytes = 8

const parts = new TransactionParts()

/** RM_XACT_ID */
export function collectTransaction(record: ScannedRecord, facts: WalFacts): void {
  const operation = record.info & operationMask
  switch (operation) {
    case operations.commit:
    case operations.abort:
    case operations.commitPrepared:
    case operations.abortPrepared:
      if (parts.read(record)) collectEnd(record, facts, operation)
      else facts.noteUnknown(record, 'it is too short for its parts')
      return
    case operations.assignment:
      collectAssignment(record, facts)
      return
    default:
  }
}

function collectEnd(record: ScannedRecord, facts: WalFacts, operation: number): void {
  const { view } = record
  const isAbort = operation === operations.abort || operation === operations.abortPrepared
  const isPrepared = operation === operations.commitPrepared || operation === operations.abortPrepared
  const xid = isPrepared ? parts.twoPhaseXid : record.xid
  facts.transactions.add({
    isAbort,
    isPrepared,
    xid,
    timeHigh: view.getUint32(record.mainStart + 4, true),
    timeLow: view.getUint32(record.mainStart, true),
    place: record,
  })
  for (let index = 0; index < parts.subxidCount; index += 1) {
    facts.transactions.addSubxid(view.getUint32(parts.subxidsAt + 4 * index, true))
  }
  for (let index = 0; index < parts.relationCount; index += 1) {
    collectDrop(record, facts, { isAbort, xid, at: parts.relationsAt + 12 * index })
  }
}

/** The files go, whatever was in them; a new relation may take the number. */
function collectDrop(
  { view, lsn }: ScannedRecord,
  facts: WalFacts,
  drop: { readonly isAbort: boolean; readonly xid: number; readonly at: number },
): void {
  const relation = {
    tablespace: view.getUint32(drop.at, true),
    database: view.getUint32(drop.at + 4, true),
    relation: view.getUint32(drop.at + 8, true),
  }
  for (let fork = 0; fork < forkCount; fork += 1) facts.changes.forkOf({ ...relation, fork }).limitTo(0)
  const kind = drop.isAbort ? 'discarded' : 'dropped'
  facts.relationEvents.add({ ...relation, kind, fork: 0, block: 0, xid: drop.xid, lsn })
}

function collectAssignment(record: ScannedRecord, facts: WalFacts): void {
  const { view, mainStart, mainLength } = record
  const count = mainLength < assignmentHeadBytes ? -1 : view.getUint32(mainStart + 4, true)
  if (count < 0 || mainLength < assignmentHeadBytes + 4 * count) {
    facts.noteUnknown(record, 'it is too short for its parts')
    return
  }
  const top = view.getUint32(mainStart, true)
  for (let index = 0; index < count; index += 1) {
    facts.firstLsns.setParent(view.getUint32(mainStart + assignmentHeadBytes + 4 * index, true), top)
  }
}

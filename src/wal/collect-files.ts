import type { RelationEvent, RelationEventKind } from './relation-events.ts'
import type { ScannedRecord } from './scanned-record.ts'
import type { WalFacts } from './wal-facts.ts'

const operationMask = 0xf0
/** XLOG_SMGR_CREATE in catalog/storage_xlog.h; the other one is XLOG_SMGR_TRUNCATE. */
const createFork = 0x10
/** xl_smgr_create: RelFileLocator, fork. xl_smgr_truncate: number of blocks, RelFileLocator, flags. */
const createBytes = 16
const truncateBytes = 20
/** SMGR_TRUNCATE_HEAP, SMGR_TRUNCATE_VM, SMGR_TRUNCATE_FSM. */
const truncated = { heap: 1, vm: 2, fsm: 4 } as const
const forks = { main: 0, fsm: 1, vm: 2 } as const

/** XLOG_DBASE_CREATE_FILE_COPY (XLOG_DBASE_CREATE in 14): database, tablespace, those of the template. */
const copyDatabase = 0x00
/** XLOG_DBASE_CREATE_WAL_LOG, since 15: database, tablespace. In 14 this is XLOG_DBASE_DROP. */
const logDatabase = 0x10

/** RM_SMGR_ID: forks that are made and cut. */
export function collectStorage(record: ScannedRecord, facts: WalFacts): void {
  const isCreate = (record.info & operationMask) === createFork
  if (record.mainLength < (isCreate ? createBytes : truncateBytes))
    facts.noteUnknown(record, 'it is too short')
  else if (isCreate) collectCreate(record, facts)
  else collectTruncate(record, facts)
}

function collectCreate(record: ScannedRecord, facts: WalFacts): void {
  const event = eventAt(record, 'created', record.mainStart)
  const fork = record.view.getUint32(record.mainStart + 12, true)
  facts.changes.forkOf({ ...event, fork }).limitTo(0)
  facts.relationEvents.add({ ...event, fork })
}

function collectTruncate(record: ScannedRecord, facts: WalFacts): void {
  const { view, mainStart } = record
  const block = view.getUint32(mainStart, true)
  const flags = view.getUint32(mainStart + 16, true)
  const event = eventAt(record, 'truncated', mainStart + 4)
  if ((flags & truncated.heap) !== 0) {
    facts.changes.forkOf({ ...event, fork: forks.main }).limitTo(block)
    facts.relationEvents.add({ ...event, block })
  }
  // The maps are cut somewhere before their end, and the last block that stays is changed too.
  if ((flags & truncated.vm) !== 0) facts.changes.forkOf({ ...event, fork: forks.vm }).limitTo(0)
  if ((flags & truncated.fsm) !== 0) facts.changes.forkOf({ ...event, fork: forks.fsm }).limitTo(0)
}

/** RM_DBASE_ID: whole databases. */
export function collectDatabase(record: ScannedRecord, facts: WalFacts): void {
  const operation = record.info & operationMask
  if (record.mainLength < 8) {
    facts.noteUnknown(record, 'it is too short')
  } else if (operation === copyDatabase) {
    collectDatabaseEvent(record, facts, { kind: 'database-copied', tablespaceAt: 4 })
  } else if (operation === logDatabase && record.major > 14) {
    collectDatabaseEvent(record, facts, { kind: 'database-logged', tablespaceAt: 4 })
  } else {
    collectDatabaseDrop(record, facts)
  }
}

/** xl_dbase_drop_rec: database, number of tablespaces, tablespaces. */
function collectDatabaseDrop(record: ScannedRecord, facts: WalFacts): void {
  const count = record.view.getUint32(record.mainStart + 4, true)
  if (record.mainLength < 8 + 4 * count) {
    facts.noteUnknown(record, 'it is too short')
    return
  }
  for (let index = 0; index < count; index += 1) {
    collectDatabaseEvent(record, facts, { kind: 'database-dropped', tablespaceAt: 8 + 4 * index })
  }
}

function collectDatabaseEvent(
  record: ScannedRecord,
  facts: WalFacts,
  event: { readonly kind: RelationEventKind; readonly tablespaceAt: number },
): void {
  const { view, mainStart, xid, lsn } = record
  const database = view.getUint32(mainStart, true)
  const tablespace = view.getUint32(mainStart + event.tablespaceAt, true)
  facts.changes.addDatabase(tablespace, database)
  facts.relationEvents.add({
    kind: event.kind,
    tablespace,
    database,
    relation: 0,
    fork: 0,
    block: 0,
    xid,
    lsn,
  })
}

/** An event of the relation whose RelFileLocator stands at `at`. */
function eventAt(record: ScannedRecord, kind: RelationEventKind, at: number): RelationEvent {
  const { view, xid, lsn } = record
  return {
    kind,
    tablespace: view.getUint32(at, true),
    database: view.getUint32(at + 4, true),
    relation: view.getUint32(at + 8, true),
    fork: 0,
    block: 0,
    xid,
    lsn,
  }
}

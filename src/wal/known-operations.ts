import type { WalMajor } from './page-header.ts'

/** Resource managers by number: access/rmgrlist.h, the same in 14 to 18. */
export const managers = {
  xlog: 0,
  transaction: 1,
  storage: 2,
  commitLog: 3,
  database: 4,
  tablespace: 5,
  multiXact: 6,
  relationMap: 7,
  standby: 8,
  heap2: 9,
  heap: 10,
  btree: 11,
  hash: 12,
  gin: 13,
  gist: 14,
  sequence: 15,
  spGist: 16,
  brin: 17,
  commitTimestamp: 18,
  replicationOrigin: 19,
  generic: 20,
  logicalMessage: 21,
} as const
/** RM_MIN_CUSTOM_ID in access/rmgr.h: resource managers of extensions, since 15. */
export const firstCustomManager = 128

/**
 * The operations of each resource manager, in the order above: bit n stands for the operation n << 4 in xl_info. Every
 * operation of these names the blocks of relations that it changes, but for XLOG_SMGR_*, XLOG_DBASE_* and the relation files
 * that end with a transaction, which are read on their own; and but for blocks of the visibility and free space maps, which
 * XLOG_HEAP_* clear and XLOG_SMGR_TRUNCATE cuts without a word: who copies relations must take those forks by content.
 * One page changes without WAL, and may be stale as on every standby: block 0 of an SP-GiST index, where
 * SpGistUpdateMetaPage in access/spgist/spgutils.c keeps a cache.
 */
const operations: Readonly<Record<keyof typeof managers, number>> = {
  // catalog/pg_control.h: XLOG_CHECKPOINT_SHUTDOWN to XLOG_FPI, without 0xC0, and XLOG_OVERWRITE_CONTRECORD.
  xlog: 0b0010_1111_1111_1111,
  // access/xact.h: XLOG_XACT_COMMIT to XLOG_XACT_INVALIDATIONS.
  transaction: 0b0111_1111,
  // catalog/storage_xlog.h: XLOG_SMGR_CREATE, XLOG_SMGR_TRUNCATE.
  storage: 0b0110,
  // access/clog.h: CLOG_ZEROPAGE, CLOG_TRUNCATE.
  commitLog: 0b0011,
  // commands/dbcommands_xlog.h: XLOG_DBASE_CREATE_FILE_COPY, XLOG_DBASE_CREATE_WAL_LOG, XLOG_DBASE_DROP.
  database: 0b0111,
  // commands/tablespace.h: XLOG_TBLSPC_CREATE, XLOG_TBLSPC_DROP.
  tablespace: 0b0011,
  // access/multixact.h: XLOG_MULTIXACT_ZERO_OFF_PAGE to XLOG_MULTIXACT_TRUNCATE_ID.
  multiXact: 0b1111,
  // utils/relmapper.h: XLOG_RELMAP_UPDATE.
  relationMap: 0b0001,
  // storage/standbydefs.h: XLOG_STANDBY_LOCK, XLOG_RUNNING_XACTS, XLOG_INVALIDATIONS.
  standby: 0b0111,
  // access/heapam_xlog.h: XLOG_HEAP2_REWRITE (which writes files in pg_logical) to XLOG_HEAP2_NEW_CID.
  heap2: 0b1111_1111,
  // access/heapam_xlog.h: XLOG_HEAP_INSERT to XLOG_HEAP_INPLACE.
  heap: 0b1111_1111,
  // access/nbtxlog.h: XLOG_BTREE_INSERT_LEAF to XLOG_BTREE_META_CLEANUP.
  btree: 0b0111_1111_1111_1111,
  // access/hash_xlog.h: XLOG_HASH_INIT_META_PAGE to XLOG_HASH_VACUUM_ONE_PAGE.
  hash: 0b0001_1111_1111_1111,
  // access/ginxlog.h: XLOG_GIN_CREATE_PTREE to XLOG_GIN_VACUUM_DATA_LEAF_PAGE.
  gin: 0b0011_1111_1110,
  // access/gistxlog.h: PAGE_UPDATE, DELETE, PAGE_REUSE, PAGE_SPLIT, PAGE_DELETE, ASSIGN_LSN.
  gist: 0b1100_1111,
  // commands/sequence.h: XLOG_SEQ_LOG.
  sequence: 0b0001,
  // access/spgxlog.h: XLOG_SPGIST_ADD_LEAF to XLOG_SPGIST_VACUUM_REDIRECT.
  spGist: 0b0001_1111_1110,
  // access/brin_xlog.h: XLOG_BRIN_CREATE_INDEX to XLOG_BRIN_DESUMMARIZE.
  brin: 0b0011_1111,
  // access/commit_ts.h: COMMIT_TS_ZEROPAGE, COMMIT_TS_TRUNCATE.
  commitTimestamp: 0b0011,
  // replication/origin.h: XLOG_REPLORIGIN_SET, XLOG_REPLORIGIN_DROP.
  replicationOrigin: 0b0011,
  // access/generic_xlog.c: the only one.
  generic: 0b0001,
  // replication/message.h: XLOG_LOGICAL_MESSAGE.
  logicalMessage: 0b0001,
}

/** Their operations have three bits: the fourth says that the page is initialised, or that there is more to read. */
const threeBitManagers: ReadonlySet<number> = new Set([
  managers.transaction,
  managers.heap2,
  managers.heap,
  managers.brin,
])

/** Of each resource manager, a bit for each upper half of xl_info that the major version can have written. */
export function knownOperationsOf(major: WalMajor): Uint16Array {
  const known = new Uint16Array(Object.keys(managers).length)
  for (const [name, bits] of Object.entries(operations)) {
    const rmid = Object.keys(managers).indexOf(name)
    known[rmid] = threeBitManagers.has(rmid) ? bits | (bits << 8) : bits
  }
  // XLOG_CHECKPOINT_REDO came with 17.
  if (major >= 17) known[managers.xlog] = operations.xlog | (1 << 0xe)
  // commands/dbcommands.h before 15: XLOG_DBASE_CREATE, XLOG_DBASE_DROP.
  if (major === 14) known[managers.database] = 0b0011
  return known
}

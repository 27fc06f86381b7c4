/** Parts of xl_info in the records that end a transaction: XLOG_XACT_OPMASK and XLOG_XACT_HAS_INFO in access/xact.h. */
export const operationMask = 0x70
export const hasExtraInfo = 0x80

/** XACT_XINFO_HAS_* in access/xact.h: which parts such a record has. */
export const extra = {
  database: 1 << 0,
  subtransactions: 1 << 1,
  relations: 1 << 2,
  invalidations: 1 << 3,
  twoPhase: 1 << 4,
  droppedStatistics: 1 << 8,
} as const

import type { Lsn } from '../domain/lsn.ts'
import {
  readControlRecord,
  type Checkpoint,
  type ControlRecord,
  type EndOfRecovery,
  type RestorePoint,
  type SettingsChange,
} from './control-records.ts'
import { WalRecordReader, type WalRecord, type WalSegmentBytes } from './record-reader.ts'
import { readTransactionEnd, type TransactionEnd } from './transaction-records.ts'
import type { WalEnd } from './wal-end.ts'

interface Placed {
  readonly lsn: Lsn
  readonly endLsn: Lsn
}

/** What a recovery along some segments will find in them. */
export interface WalSummary {
  readonly recordCount: number
  /** Undefined when no record begins in the segments. */
  readonly firstRecordLsn: Lsn | undefined
  /** The last whole record: what a recovery to the end of the archive reaches (R40). */
  readonly lastRecordLsn: Lsn | undefined
  readonly lastRecordEndLsn: Lsn | undefined
  /** Why there are no more records. */
  readonly end: WalEnd
  readonly commitCount: number
  readonly abortCount: number
  /** In the order of the WAL, which is not always the order of their times (M18). */
  readonly firstCommit: TransactionEnd | undefined
  readonly lastCommit: TransactionEnd | undefined
  /** The greatest time of a commit: there is none after it. TimestampTz. */
  readonly latestCommitTime: bigint | undefined
  readonly restorePoints: readonly (RestorePoint & Placed)[]
  readonly checkpoints: readonly (Checkpoint & Placed)[]
  readonly recoveryEnds: readonly (EndOfRecovery & Placed)[]
  readonly settingsChanges: readonly (SettingsChange & Placed)[]
}

/** Reads segments that follow each other, once and in order. Damage is no error here: it shows as the `end`. */
export async function summarizeSegments(
  segments: Iterable<WalSegmentBytes> | AsyncIterable<WalSegmentBytes>,
): Promise<WalSummary> {
  const reader = new WalRecordReader()
  const summary = emptySummary()
  for await (const segment of segments) {
    reader.push(segment)
    for (let record = reader.next(); record !== undefined; record = reader.next()) addRecord(summary, record)
    if (reader.hasEnded) break
  }
  return { ...summary, end: reader.end() }
}

/** The summary while it is being made. */
type Growing = {
  -readonly [Key in keyof Omit<WalSummary, 'end'>]: WalSummary[Key] extends readonly (infer Entry)[]
    ? Entry[]
    : WalSummary[Key]
}

function emptySummary(): Growing {
  return {
    recordCount: 0,
    firstRecordLsn: undefined,
    lastRecordLsn: undefined,
    lastRecordEndLsn: undefined,
    commitCount: 0,
    abortCount: 0,
    firstCommit: undefined,
    lastCommit: undefined,
    latestCommitTime: undefined,
    restorePoints: [],
    checkpoints: [],
    recoveryEnds: [],
    settingsChanges: [],
  }
}

function addRecord(summary: Growing, record: WalRecord): void {
  summary.recordCount += 1
  summary.firstRecordLsn ??= record.lsn
  summary.lastRecordLsn = record.lsn
  summary.lastRecordEndLsn = record.endLsn
  const end = readTransactionEnd(record)
  if (end !== undefined) addTransactionEnd(summary, end)
  const control = readControlRecord(record)
  if (control !== undefined) addControl(summary, control, { lsn: record.lsn, endLsn: record.endLsn })
}

function addTransactionEnd(summary: Growing, end: TransactionEnd): void {
  if (end.kind === 'abort') {
    summary.abortCount += 1
    return
  }
  summary.commitCount += 1
  summary.firstCommit ??= end
  summary.lastCommit = end
  if (end.time > (summary.latestCommitTime ?? end.time - 1n)) summary.latestCommitTime = end.time
}

function addControl(summary: Growing, control: ControlRecord, place: Placed): void {
  switch (control.kind) {
    case 'restore-point':
      summary.restorePoints.push({ ...control, ...place })
      return
    case 'checkpoint':
      summary.checkpoints.push({ ...control, ...place })
      return
    case 'end-of-recovery':
      summary.recoveryEnds.push({ ...control, ...place })
      return
    case 'parameter-change':
    case 'full-page-writes-change':
      summary.settingsChanges.push({ ...control, ...place })
      return
    case 'segment-switch':
  }
}

import type { BackupLabel } from '../domain/backup-label.ts'
import { parseDumpLabel } from '../repository/dump-entry.ts'
import { encodeRecord, RecordReader } from '../repository/record.ts'
import { decodeChecks, drillOutcomes, worstOf, type DrillCheck, type DrillOutcome } from './drill-report.ts'

const checkNames = ['roles', 'load', 'tables', 'rows', 'assertions'] as const

export type DumpDrillCheck = DrillCheck<(typeof checkNames)[number]>

/** A database that was loaded, and what is in it. */
interface DrilledDatabase {
  readonly database: string
  /** What pg_dump wrote. */
  readonly rawBytes: number
  readonly tables: number
  readonly rows: number
  readonly loadMs: number
}

/** What came of the load of a dump that was tried. Kept in the repository. */
export interface DumpDrillReport {
  readonly beganAtMs: number
  readonly label: BackupLabel
  /** `passed` only if every check ran and passed. */
  readonly outcome: DrillOutcome
  /** Of the server that it was loaded into; undefined: it did not come so far. */
  readonly serverVersion: string | undefined
  readonly checks: readonly DumpDrillCheck[]
  /** Those that could be loaded, in the order of the dump. */
  readonly databases: readonly DrilledDatabase[]
  /** How long the parts took, in milliseconds. */
  readonly loadMs: number
  readonly checkMs: number
}

/** The worst of the checks; they have passed only if all of them were made. */
export const dumpOutcomeOf = (checks: readonly DumpDrillCheck[]): DrillOutcome => worstOf(checks, checkNames)

export const encodeDumpDrillReport = (report: DumpDrillReport): Uint8Array => encodeRecord(report)

/** Throws `damaged`. */
export function decodeDumpDrillReport(bytes: Uint8Array, key: string): DumpDrillReport {
  const reader = RecordReader.decode(bytes, `drill report "${key}"`)
  return {
    beganAtMs: reader.count('beganAtMs'),
    label: reader.parsed('label', parseDumpLabel),
    outcome: reader.word('outcome', drillOutcomes),
    serverVersion: reader.optionalString('serverVersion'),
    checks: decodeChecks(reader, checkNames),
    databases: reader.records('databases').map((loaded) => ({
      database: loaded.string('database'),
      rawBytes: loaded.count('rawBytes'),
      tables: loaded.count('tables'),
      rows: loaded.count('rows'),
      loadMs: loaded.count('loadMs'),
    })),
    loadMs: reader.count('loadMs'),
    checkMs: reader.count('checkMs'),
  }
}

import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { formatLsn, parseLsn, type Lsn } from '../domain/lsn.ts'
import { encodeRecord, RecordReader } from '../repository/record.ts'

const checkNames = [
  'recovery',
  'pages',
  'indexes',
  'tables',
  'visibility',
  'rows',
  'losses',
  'assertions',
] as const
const checkStates = ['passed', 'failed', 'not-proven'] as const
export const drillOutcomes = ['passed', 'failed', 'not-proven'] as const

export type DrillCheckName = (typeof checkNames)[number]

/** One thing that was proved, or was not. */
export interface DrillCheck<Name extends string = DrillCheckName> {
  readonly name: Name
  /** `not-proven`: it could not be looked at, and `message` says why. */
  readonly state: (typeof checkStates)[number]
  /** For people: how much was looked at, or what is wrong. */
  readonly message: string
  /** What is wrong, where: the first of them. */
  readonly findings: readonly string[]
}

export type DrillOutcome = (typeof drillOutcomes)[number]

/** What came of a restore that was tried. Kept in the repository. */
export interface DrillReport {
  readonly beganAtMs: number
  /** `passed` only if every check ran and passed. */
  readonly outcome: DrillOutcome
  /** What was asked for, for people. */
  readonly target: string
  /** Undefined: it did not come so far. */
  readonly reached: ReachedMoment | undefined
  readonly checks: readonly DrillCheck[]
  /** How long the parts took, in milliseconds. */
  readonly filesMs: number
  readonly recoveryMs: number
  readonly checkMs: number
  readonly writtenBytes: number
  /** WAL from the beginning of the backup to where the recovery ended. */
  readonly replayedBytes: number
}

interface ReachedMoment {
  readonly backup: BackupLabel
  readonly lsn: Lsn
  /** Of the last commit that was recovered, and of the last one that is archived: RFC 3339. */
  readonly lastCommitAt: string | undefined
  readonly archivedCommitAt: string | undefined
}

/** The worst of the checks; a drill without checks has proved nothing. */
export function outcomeOf(checks: readonly DrillCheck[]): DrillOutcome {
  return worstOf(checks, checkNames)
}

/** The worst of the checks. They have passed only if there is one of each name. */
export function worstOf<Name extends string>(
  checks: readonly DrillCheck<Name>[],
  names: readonly Name[],
): DrillOutcome {
  if (checks.some(({ state }) => state === 'failed')) return 'failed'
  const isComplete = names.every((name) => checks.some((check) => check.name === name))
  return isComplete && checks.every(({ state }) => state === 'passed') ? 'passed' : 'not-proven'
}

export function encodeDrillReport({ reached, ...report }: DrillReport): Uint8Array {
  return encodeRecord({
    ...report,
    ...(reached !== undefined && { reached: { ...reached, lsn: formatLsn(reached.lsn) } }),
  })
}

/** Throws `damaged`. */
export function decodeDrillReport(bytes: Uint8Array, key: string): DrillReport {
  const reader = RecordReader.decode(bytes, `drill report "${key}"`)
  return {
    beganAtMs: reader.count('beganAtMs'),
    outcome: reader.word('outcome', drillOutcomes),
    target: reader.string('target'),
    reached: reader.has('reached') ? decodeReached(reader.record('reached')) : undefined,
    checks: decodeChecks(reader, checkNames),
    filesMs: reader.count('filesMs'),
    recoveryMs: reader.count('recoveryMs'),
    checkMs: reader.count('checkMs'),
    writtenBytes: reader.count('writtenBytes'),
    replayedBytes: reader.count('replayedBytes'),
  }
}

export function decodeChecks<Name extends string>(
  reader: RecordReader,
  names: readonly Name[],
): readonly DrillCheck<Name>[] {
  return reader.records('checks').map((check) => ({
    name: check.word('name', names),
    state: check.word('state', checkStates),
    message: check.string('message'),
    findings: check.strings('findings'),
  }))
}

function decodeReached(reader: RecordReader): ReachedMoment {
  return {
    backup: reader.parsed('backup', parseBackupLabel),
    lsn: reader.parsed('lsn', parseLsn),
    lastCommitAt: reader.optionalString('lastCommitAt'),
    archivedCommitAt: reader.optionalString('archivedCommitAt'),
  }
}

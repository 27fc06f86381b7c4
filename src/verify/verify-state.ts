import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { encodeRecord, RecordReader } from '../repository/record.ts'
import { refuseNewerFormat } from '../repository/repository-header.ts'
import { decodeDamage, encodeDamage, type Damage } from './damage.ts'

/** What was proven of a cluster in a repository, and when: docs/formats/verify-state.md. */
export interface VerifyState {
  readonly writtenAtMs: number
  /** When the newest run that had proven everything ended. */
  readonly lastCompletedAtMs: number | undefined
  /** When the run over everything that has not ended yet began; it may have been interrupted. */
  readonly runStartedAtMs: number | undefined
  /** The least recent proof of anything that is stored and not damaged; undefined while something was never proven. */
  readonly oldestProofAtMs: number | undefined
  /** In no order. */
  readonly groups: readonly ProvenGroup[]
  /** Each listed backup of which everything was proven, data and own WAL, with the least recent proof. */
  readonly backups: readonly ProvenBackup[]
  /** What is damaged as far as is known. */
  readonly damage: readonly Damage[]
}

/** Objects that are looked at together. Counts while the group has as many objects and bytes, and no damage names it. */
export interface ProvenGroup {
  readonly group: string
  readonly objects: number
  readonly bytes: number
  readonly provenAtMs: number
}

interface ProvenBackup {
  readonly label: BackupLabel
  readonly provenAtMs: number
}

export const nothingProven: VerifyState = {
  writtenAtMs: 0,
  lastCompletedAtMs: undefined,
  runStartedAtMs: undefined,
  oldestProofAtMs: undefined,
  groups: [],
  backups: [],
  damage: [],
}

/** The backups that cannot be restored as far as is known: no new backup may build on them, and none of them counts. */
export function damagedLabels(state: VerifyState | undefined): ReadonlySet<BackupLabel> {
  return new Set(state?.damage.flatMap(({ backups }) => backups))
}

/** When the last of everything that a backup needs was proven; undefined when something never was or is damaged. */
export function provenAt(state: VerifyState | undefined, label: BackupLabel): number | undefined {
  if (state === undefined || damagedLabels(state).has(label)) return undefined
  return state.backups.find((backup) => backup.label === label)?.provenAtMs
}

export function encodeVerifyState(state: VerifyState): Uint8Array {
  return encodeRecord({ version: 1, ...state, damage: state.damage.map(encodeDamage) })
}

export function decodeVerifyState(payload: Uint8Array, key: string): VerifyState {
  const reader = RecordReader.decode(payload, `verify state "${key}"`)
  refuseNewerFormat(reader.count('version'), `reading verify state "${key}"`)
  return {
    writtenAtMs: reader.count('writtenAtMs'),
    lastCompletedAtMs: optionalCount(reader, 'lastCompletedAtMs'),
    runStartedAtMs: optionalCount(reader, 'runStartedAtMs'),
    oldestProofAtMs: optionalCount(reader, 'oldestProofAtMs'),
    groups: reader.records('groups').map((group) => ({
      group: group.string('group'),
      objects: group.count('objects'),
      bytes: group.count('bytes'),
      provenAtMs: group.count('provenAtMs'),
    })),
    backups: reader.records('backups').map((backup) => ({
      label: backup.parsed('label', parseBackupLabel),
      provenAtMs: backup.count('provenAtMs'),
    })),
    damage: reader.records('damage').map(decodeDamage),
  }
}

function optionalCount(reader: RecordReader, name: string): number | undefined {
  return reader.has(name) ? reader.count(name) : undefined
}

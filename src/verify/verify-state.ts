import assert from 'node:assert/strict'
import { isBackupLabel, parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
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
  /** Each listed backup of which everything was proven, data and own WAL, with the least recent proof; and each listed dump. */
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
  const labels = [...damagedLabels(state)]
  const indexes = new Map(labels.map((label, index) => [label, index]))
  const indexOf = (label: BackupLabel): number => {
    const index = indexes.get(label)
    assert.ok(index !== undefined)
    return index
  }
  const damage = state.damage.map((each) => encodeDamage(each, indexOf))
  return encodeRecord({ version: 1, ...state, damagedLabels: labels, damage })
}

export function decodeVerifyState(payload: Uint8Array, key: string): VerifyState {
  const reader = RecordReader.decode(payload, `verify state "${key}"`)
  refuseNewerFormat(reader.count('version'), `reading verify state "${key}"`)
  const labelsOf = readLabelTable(reader)
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
    damage: reader.records('damage').map((each) => decodeDamage(each, labelsOf)),
  }
}

/** Damages that name the same backups share one list: there may be many of both. */
function readLabelTable(reader: RecordReader): (indexes: string) => readonly BackupLabel[] {
  const labels = reader.strings('damagedLabels').map((label) => {
    if (isBackupLabel(label)) return label
    throw new OperationError('damaged', 'reading a verify state: its "damagedLabels" cannot be read')
  })
  const known = new Map<string, readonly BackupLabel[]>([['', []]])
  return (indexes) => {
    const shared = known.get(indexes) ?? indexes.split(' ').map((index) => labelAt(labels, index))
    known.set(indexes, shared)
    return shared
  }
}

function labelAt(labels: readonly BackupLabel[], index: string): BackupLabel {
  const label = /^\d{1,9}$/.test(index) ? labels[Number(index)] : undefined
  assert.ok(label !== undefined)
  return label
}

function optionalCount(reader: RecordReader, name: string): number | undefined {
  return reader.has(name) ? reader.count(name) : undefined
}

import assert from 'node:assert/strict'
import { labelKind, parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { formatInstant, parseTargetTime, type Instant } from '../domain/target-time.ts'
import type { RecordReader } from './record.ts'

/** What is said about one dump for good: enough to choose it. What is in it says its head. */
export interface DumpEntry {
  readonly label: BackupLabel
  /** The server's clock when the dump began and when it ended. */
  readonly startedAt: Instant
  readonly stoppedAt: Instant
  /** Databases of which there is a member, in the order of the members: the first `mostNamedDatabases`. */
  readonly databases: readonly string[]
  /** How many there are. */
  readonly databaseCount: number
  /** Of the members, each once. */
  readonly formats: readonly string[]
  /** What the programs wrote. */
  readonly rawBytes: number
  /** What the dump takes in the repository. */
  readonly storedBytes: number
  /** Keyed digest of the head's bytes, in hexadecimal: an entry names exactly one head. */
  readonly headDigest: string
}

/** A dump as the catalogue lists it: with what was decided about it since. */
export interface ListedDump extends DumpEntry {
  /** Kept whatever the rules say, until it is unpinned. */
  readonly isPinned: boolean
}

/** So many names stand in the catalogue, which every command reads. */
export const mostNamedDatabases = 50

export function encodeListedDump({ startedAt, stoppedAt, ...entry }: ListedDump): Record<string, unknown> {
  return { ...entry, startedAt: formatInstant(startedAt), stoppedAt: formatInstant(stoppedAt) }
}

export function decodeListedDump(reader: RecordReader): ListedDump {
  return {
    label: reader.parsed('label', parseDumpLabel),
    startedAt: reader.parsed('startedAt', parseTargetTime),
    stoppedAt: reader.parsed('stoppedAt', parseTargetTime),
    databases: reader.strings('databases'),
    databaseCount: reader.count('databaseCount'),
    formats: reader.strings('formats'),
    rawBytes: reader.count('rawBytes'),
    storedBytes: reader.count('storedBytes'),
    headDigest: reader.string('headDigest'),
    isPinned: reader.boolean('isPinned'),
  }
}

/** A label of a dump; anything else is refused. */
export function parseDumpLabel(text: string): BackupLabel {
  const label = parseBackupLabel(text)
  assert.equal(labelKind(label), 'dump')
  return label
}

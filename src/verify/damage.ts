import assert from 'node:assert/strict'
import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { formatLsn, parseLsn, type Lsn } from '../domain/lsn.ts'
import { formatInstant, parseTargetTime, type Instant } from '../domain/target-time.ts'
import { toTimelineId, type TimelineId } from '../domain/timeline.ts'
import type { RecordReader } from '../repository/record.ts'

const damageKinds = [
  'key-slot',
  'cluster-record',
  'catalogue',
  'manifest',
  'pack',
  'dump',
  'wal',
  'wal-records',
  'wal-missing',
  'wal-conflict',
  'history',
  'wal-index',
  'name-list',
  'drill-report',
] as const

/** So many packs are told as one damage at most. */
export const mostJoined = 65_536

/** What is damaged. `wal`: a stored object; `wal-records`: what the server archived does not hang together. */
export type DamageKind = (typeof damageKinds)[number]

/** One thing that is not as it must be, and what it costs. */
export interface Damage {
  /** The object; for a row of missing segments, where the first one would be. */
  readonly key: string
  readonly kind: DamageKind
  /** A line for people. */
  readonly problem: string
  /** When it was found first, and when it was found last. */
  readonly foundAtMs: number
  readonly seenAtMs: number
  /** Listed backups that cannot be restored because of it, and dumps that cannot be loaded: oldest first. */
  readonly backups: readonly BackupLabel[]
  /** Moments that cannot be reached because of it. */
  readonly lost: readonly LostMoments[]
  /** The group that it was found in: proving that group again tells whether it is still there. */
  readonly group: string | undefined
  /** So many packs with neighbouring numbers from `key` on have this problem, at this cost. Left out: it is one object. */
  readonly packCount?: number
}

/** A stretch of one timeline that no recovery reaches, because what leads there is damaged. */
export interface LostMoments {
  readonly timeline: TimelineId
  /** The first byte that is not reached. */
  readonly fromLsn: Lsn
  /** When the last backup before ended; or, if there is none, when the one began that is lost. Later moments may still be reached. */
  readonly fromTime: Instant
  /** The next backup: from its end on moments can be reached again. Undefined: there is none. */
  readonly until: { readonly backup: BackupLabel; readonly lsn: Lsn; readonly time: Instant } | undefined
}

/** `indexOf` gives where a label is in the list of labels that the damages share. */
export function encodeDamage(
  damage: Damage,
  indexOf: (label: BackupLabel) => number,
): Record<string, unknown> {
  return {
    ...damage,
    backups: damage.backups.map(indexOf).join(' '),
    lost: damage.lost.map(({ timeline, fromLsn, fromTime, until }) => ({
      timeline,
      fromLsn: formatLsn(fromLsn),
      fromTime: formatInstant(fromTime),
      ...(until !== undefined && {
        until: { backup: until.backup, lsn: formatLsn(until.lsn), time: formatInstant(until.time) },
      }),
    })),
  }
}

/** `labelsOf` gives the labels that a text of indexes names. */
export function decodeDamage(
  reader: RecordReader,
  labelsOf: (indexes: string) => readonly BackupLabel[],
): Damage {
  return {
    key: reader.string('key'),
    kind: reader.word('kind', damageKinds),
    problem: reader.string('problem'),
    foundAtMs: reader.count('foundAtMs'),
    seenAtMs: reader.count('seenAtMs'),
    backups: reader.parsed('backups', labelsOf),
    lost: reader.records('lost').map(decodeLost),
    group: reader.optionalString('group'),
    ...(reader.has('packCount') && { packCount: reader.parsedCount('packCount', toPackCount) }),
  }
}

function toPackCount(count: number): number {
  assert.ok(count > 1 && count <= mostJoined)
  return count
}

function decodeLost(reader: RecordReader): LostMoments {
  return {
    timeline: reader.parsedCount('timeline', toTimelineId),
    fromLsn: reader.parsed('fromLsn', parseLsn),
    fromTime: reader.parsed('fromTime', parseTargetTime),
    until: reader.has('until') ? decodeUntil(reader.record('until')) : undefined,
  }
}

function decodeUntil(reader: RecordReader): NonNullable<LostMoments['until']> {
  return {
    backup: reader.parsed('backup', parseBackupLabel),
    lsn: reader.parsed('lsn', parseLsn),
    time: reader.parsed('time', parseTargetTime),
  }
}

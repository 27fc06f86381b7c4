import assert from 'node:assert/strict'
import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import { formatForPostgres, formatInstant, type Instant } from '../domain/target-time.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import type { LocatedTarget } from './locate-target.ts'
import type { ArchiveEnd } from './read-archive-end.ts'
import { missingWal, requireWal, type WalRoute } from './wal-route.ts'

/** Where recovery will stop, in the terms in which PostgreSQL is told and what it reached is checked. */
export type RecoveryStop =
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly inclusive: boolean; readonly atLeast: Lsn }
  | { readonly kind: 'time'; readonly time: Instant; readonly inclusive: boolean; readonly atLeast: Lsn }
  | { readonly kind: 'xid'; readonly xid: bigint; readonly inclusive: boolean; readonly atLeast: Lsn }
  | { readonly kind: 'name'; readonly name: string; readonly atLeast: Lsn }
  | { readonly kind: 'immediate'; readonly atLeast: Lsn }

export interface StopFacts {
  readonly backup: BackupEntry
  readonly walRoute: WalRoute
  readonly archiveEnd: ArchiveEnd | undefined
  readonly located: LocatedTarget | undefined
}

/**
 * Turns the target into a stop that is proven to be in the archive, or refuses: `wal-missing`, `target-unreachable`. The
 * end of the archive becomes the LSN of its last whole record, because without a target a missing segment would look
 * like the end (M5, R40).
 */
export function planStop(target: RecoveryTarget, facts: StopFacts): RecoveryStop {
  const { backup, walRoute } = facts
  requireWal(walRoute, backup.stopLsn, `backup ${backup.label}`)
  switch (target.kind) {
    case 'latest':
      if (walRoute.hasGap) throw missingWal(walRoute, 'to the end of the archive')
      return stopAtEnd(facts)
    case 'lsn':
      return stopAtLsn(target, facts)
    case 'time':
      return stopAtTime(target, facts)
    case 'xid':
    case 'name':
      return stopAtRecord(target, facts)
    case 'immediate':
      return { kind: 'immediate', atLeast: backup.stopLsn }
  }
}

/** The settings that make PostgreSQL stop there. One target; every value means one thing in every version and locale. */
export function stopSettings(stop: RecoveryStop): Record<string, string> {
  switch (stop.kind) {
    case 'lsn':
      return { recovery_target_lsn: formatLsn(stop.lsn), ...inclusion(stop) }
    case 'time':
      return { recovery_target_time: formatForPostgres(stop.time), ...inclusion(stop) }
    case 'xid':
      // With an epoch the server would still compare 32 bits, but it reads no more digits than those.
      return { recovery_target_xid: String(stop.xid & 0xffff_ffffn), ...inclusion(stop) }
    case 'name':
      return { recovery_target_name: stop.name }
    case 'immediate':
      return { recovery_target: 'immediate' }
  }
}

const inclusion = ({ inclusive }: { readonly inclusive: boolean }): Record<string, string> => ({
  recovery_target_inclusive: inclusive ? 'on' : 'off',
})

function stopAtRecord(
  target: Extract<RecoveryTarget, { kind: 'xid' | 'name' }>,
  { located, walRoute }: StopFacts,
): RecoveryStop {
  assert.ok(located, 'an xid or a restore point is looked for before it is planned with')
  const { lsn, endLsn } = located
  const what =
    target.kind === 'xid' ? `to transaction ${target.xid}` : `to restore point ${quote(target.name)}`
  requireWal(walRoute, endLsn, what)
  if (target.kind === 'name') return { kind: 'name', name: target.name, atLeast: endLsn }
  return {
    kind: 'xid',
    xid: target.xid,
    inclusive: target.inclusive,
    atLeast: target.inclusive ? endLsn : lsn,
  }
}

function stopAtEnd({ backup, archiveEnd, walRoute }: StopFacts): RecoveryStop {
  requireWal(walRoute, walRoute.endLsn, 'to the end of the archive')
  const { lastRecordLsn, lastRecordEndLsn } = archiveEnd ?? {}
  if (lastRecordLsn === undefined || lastRecordEndLsn === undefined || lastRecordEndLsn <= backup.stopLsn) {
    return { kind: 'immediate', atLeast: backup.stopLsn }
  }
  return { kind: 'lsn', lsn: lastRecordLsn, inclusive: true, atLeast: lastRecordEndLsn }
}

function stopAtLsn(target: Extract<RecoveryTarget, { kind: 'lsn' }>, facts: StopFacts): RecoveryStop {
  const { archiveEnd, walRoute, backup } = facts
  const { lsn, inclusive } = target
  const { lastRecordLsn, lastRecordEndLsn } = archiveEnd ?? {}
  if (lastRecordLsn !== undefined && lsn <= lastRecordLsn) {
    // The record that begins there is read, also when it is not replayed.
    requireWal(walRoute, toLsn(lsn + 1n), `to LSN ${formatLsn(lsn)}`)
    return { kind: 'lsn', lsn, inclusive, atLeast: inclusive ? lsn : backup.stopLsn }
  }
  // No record begins there, so PostgreSQL would never notice that it has arrived; but everything before it is there.
  if (lastRecordEndLsn !== undefined && lsn <= lastRecordEndLsn) return stopAtEnd(facts)
  if (walRoute.hasGap) throw missingWal(walRoute, `to LSN ${formatLsn(lsn)}`)
  throw new OperationError(
    'target-unreachable',
    `recovering to LSN ${formatLsn(lsn)}: the archived WAL ends at ${formatLsn(lastRecordEndLsn ?? walRoute.endLsn)}`,
    {
      hint: 'Leave the target out to get everything that is archived, or push the missing WAL from the server first.',
    },
  )
}

/** PostgreSQL notices that it has arrived at the first commit behind the target; without one it fails (R41). */
function stopAtTime(
  target: Extract<RecoveryTarget, { kind: 'time' }>,
  { archiveEnd, walRoute, backup }: StopFacts,
): RecoveryStop {
  const { time, inclusive } = target
  const last = archiveEnd?.lastCommitAt
  if (last !== undefined && (inclusive ? last > time : last >= time)) {
    // Where recovery stops is not known before it is there, so it may pass through every segment.
    requireWal(walRoute, walRoute.endLsn, `to ${formatInstant(time)}`)
    return { kind: 'time', time, inclusive, atLeast: backup.stopLsn }
  }
  if (walRoute.hasGap) throw missingWal(walRoute, `to ${formatInstant(time)}`)
  const found =
    last === undefined ? 'holds no commit after the backup' : `holds no commit after ${formatInstant(last)}`
  const end = archiveEnd?.lastRecordEndLsn
  throw new OperationError(
    'target-unreachable',
    `recovering to ${formatInstant(time)}: the archived WAL ${found}`,
    {
      hint: `Leave the target out to get everything that is archived${end === undefined ? '' : `, up to LSN ${formatLsn(end)}`}.`,
    },
  )
}

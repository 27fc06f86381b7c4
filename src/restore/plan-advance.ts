import type { ArchivePlace } from '../archive/archive-place.ts'
import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import { formatInstant, instantFromPostgres, parseTargetTime } from '../domain/target-time.ts'
import { isReachable } from '../domain/timeline-history.ts'
import { WalRecordReader } from '../wal/record-reader.ts'
import { readTransactionEnd, type TransactionEnd } from '../wal/transaction-records.ts'
import type { Route } from './choose-route.ts'
import type { Reached, RecoveryPlan } from './drive-recovery.ts'
import { gatherRouteFacts, type FoundRoute } from './gather-route-facts.ts'
import { describeWal } from './plan-restore.ts'
import { fetchAll } from './read-archive-end.ts'
import { planStop, type RecoveryStop } from './recovery-stop.ts'
import { nameAt } from './wal-route.ts'

/** A recovery that has paused. */
export interface PausedRecovery {
  readonly plan: RecoveryPlan
  readonly reached: Reached
  /** Where a server that is started again begins to replay, at the earliest: the redo point of the control file. */
  readonly redoLsn: Lsn
}

/**
 * Plans how a paused recovery goes on to a later target, by the same facts and refusals as a restore from its backup.
 * Changes nothing. Throws `target-unreachable`, `target-ambiguous`, `wal-missing` or `damaged`; a target that the recovery
 * has passed is `target-unreachable`, because PostgreSQL cannot go back.
 */
export async function planAdvance(
  target: RecoveryTarget,
  paused: PausedRecovery,
  { place, context }: { readonly place: ArchivePlace; readonly context: RunContext },
): Promise<RecoveryPlan> {
  const { plan } = paused
  if (target.kind === 'immediate') throw isPassed(paused, 'the end of the backup')
  const found = await gatherRouteFacts({ target, label: plan.backup.label }, place, context)
  const { route, walRoute, archiveEnd } = found
  refuseOtherBranch(route, paused)
  const stop = planStop(target, { backup: route.backup, ...found })
  if (target.kind === 'latest') refuseEnd(stop, paused)
  refusePassedRecord(stop, { ...paused, ...found })
  await refusePassedTime(stop, { ...paused, ...found }, { place, context })
  return {
    ...plan,
    request: { ...plan.request, target: { ...target, action: 'pause' } },
    timeline: route.history.timeline,
    stop,
    wal: describeWal(walRoute, archiveEnd),
  }
}

function refuseOtherBranch({ history }: Route, { reached }: PausedRecovery): void {
  const { timeline, lsn } = reached
  if (isReachable(history, { timeline, lsn })) return
  throw new OperationError(
    'target-unreachable',
    `going on from LSN ${formatLsn(lsn)} on timeline ${timeline}: timeline ${history.timeline} does not pass through it`,
    { hint: 'Open another sandbox for that timeline.' },
  )
}

type Searched = PausedRecovery & FoundRoute

function refuseEnd({ atLeast }: RecoveryStop, { reached }: PausedRecovery): void {
  if (atLeast > reached.lsn) return
  const where = `the archive has nothing behind LSN ${formatLsn(reached.lsn)}`
  throw new OperationError(
    'target-unreachable',
    `going on to the end of the archive: it is there already, ${where}`,
    {
      hint: 'Try again when more WAL is archived.',
    },
  )
}

/** Of a stop that is a place in the WAL, it must not be before the end of what was replayed. */
function refusePassedRecord(stop: RecoveryStop, { located, ...paused }: Searched): void {
  if (stop.kind === 'immediate') throw isPassed(paused, 'the end of the archive')
  const lsn = located?.lsn ?? (stop.kind === 'lsn' ? stop.lsn : undefined)
  if (lsn !== undefined && lsn < paused.reached.lsn) throw isPassed(paused, `LSN ${formatLsn(lsn)}`)
}

/**
 * PostgreSQL stops at the first end of a transaction that is later than the target, from where it begins to replay. One that
 * is before the place where the recovery paused would be a way back.
 */
async function refusePassedTime(
  stop: RecoveryStop,
  searched: Searched,
  { place, context }: { readonly place: ArchivePlace; readonly context: RunContext },
): Promise<void> {
  if (stop.kind !== 'time') return
  const { time, inclusive } = stop
  const { commitTime } = searched.reached
  const isLater = (other: bigint): boolean => (inclusive ? other > time : other >= time)
  if (commitTime !== undefined && isLater(parseTargetTime(commitTime)))
    throw isPassed(searched, formatInstant(time))
  for await (const end of endsReplayedAgain(searched, { place, context }))
    if (isLater(instantFromPostgres(end.time))) throw isPassed(searched, formatInstant(time))
}

/** Of the transactions that ended between where a server begins to replay and where the recovery paused. */
async function* endsReplayedAgain(
  searched: Searched,
  { place, context }: { readonly place: ArchivePlace; readonly context: RunContext },
): AsyncGenerator<TransactionEnd, void, undefined> {
  const reader = new WalRecordReader()
  for await (const segment of fetchAll(replayedAgain(searched, place), place, context)) {
    reader.push(segment)
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      if (record.lsn >= searched.reached.lsn) return
      const end = record.lsn >= searched.redoLsn ? readTransactionEnd(record) : undefined
      if (end !== undefined) yield end
    }
    if (reader.hasEnded) return
  }
}

function* replayedAgain(
  { route, archived, redoLsn, reached }: Searched,
  { cluster: { walSegmentSize: segmentSize } }: ArchivePlace,
): Generator<{ name: NonNullable<ReturnType<typeof nameAt>>; startLsn: Lsn }, void> {
  const size = BigInt(segmentSize)
  for (let start = (redoLsn / size) * size; start < reached.lsn; start += size) {
    const from = toLsn(start < redoLsn ? redoLsn : start)
    const name = nameAt(route, { archived, from, segmentSize })
    if (name === undefined) return
    yield { name, startLsn: toLsn(start) }
  }
}

function isPassed({ reached }: PausedRecovery, where: string): OperationError {
  const last = reached.commitTime === undefined ? '' : `, with a last commit of ${reached.commitTime}`
  return new OperationError(
    'target-unreachable',
    `going on to ${where}: the recovery is past it, at LSN ${formatLsn(reached.lsn)}${last}`,
    { hint: 'A recovery goes on and not back: open another sandbox for an earlier moment.' },
  )
}

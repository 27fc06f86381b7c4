import type { ArchivePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import type { WalSegmentName, WalSegmentSize } from '../domain/wal-segment.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { readControlRecord } from '../wal/control-records.ts'
import { WalRecordReader, type WalRecord } from '../wal/record-reader.ts'
import { readTransactionEnd } from '../wal/transaction-records.ts'
import { chooseRoute, type Route, type RouteFacts } from './choose-route.ts'
import { fetchAll } from './read-archive-end.ts'
import { followWal, nameAt, type ArchivedNames } from './wal-route.ts'

/** The record at which a recovery to an xid or a restore point stops. */
export interface LocatedTarget {
  readonly label: BackupLabel
  readonly lsn: Lsn
  readonly endLsn: Lsn
}

type SearchedTarget = Extract<RecoveryTarget, { kind: 'xid' | 'name' }>

/**
 * Finds the record that ends a transaction, or makes a restore point, by reading the WAL: first what the newest backup
 * needs, then further back. The backup found with it is the newest that leads there. Throws `target-unreachable` when it
 * is not in the archive.
 */
export async function locateTarget(
  {
    target,
    label,
    facts,
    archived,
  }: { target: SearchedTarget; label: BackupLabel | undefined; facts: RouteFacts; archived: ArchivedNames },
  place: ArchivePlace,
  context: RunContext,
): Promise<LocatedTarget> {
  const candidates = facts.backups
    .filter((backup) => label === undefined || backup.label === label)
    .toReversed()
  let searched: { history: TimelineHistory; from: Lsn } | undefined
  for (const backup of candidates) {
    const route = chooseRoute({ target, label: backup.label }, facts)
    const isSameWay = searched?.history.timeline === route.history.timeline
    const to = isSameWay ? searched?.from : undefined
    const found = await searchRoute({ target, route, to, archived }, place, context)
    if (found !== undefined && found.lsn >= backup.stopLsn) return { label: backup.label, ...found }
    searched = { history: route.history, from: backup.startLsn }
  }
  throw notFound(target, candidates)
}

interface Search {
  readonly target: SearchedTarget
  readonly route: Route
  /** Searched already from here on. */
  readonly to: Lsn | undefined
  readonly archived: ArchivedNames
}

async function searchRoute(
  { target, route, to, archived }: Search,
  place: ArchivePlace,
  context: RunContext,
): Promise<{ lsn: Lsn; endLsn: Lsn } | undefined> {
  const { walSegmentSize } = place.cluster
  const walRoute = followWal(route, archived, walSegmentSize)
  const end = to === undefined || to > walRoute.endLsn ? walRoute.endLsn : to
  const reader = new WalRecordReader()
  const total = Number((end - route.backup.startLsn) / BigInt(walSegmentSize)) + 1
  let done = 0
  for await (const segment of fetchAll(
    segmentsOf(route, { archived, end, walSegmentSize }),
    place,
    context,
  )) {
    reader.push(segment)
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      if (record.lsn >= route.backup.startLsn && isTarget(record, target))
        return { lsn: record.lsn, endLsn: record.endLsn }
    }
    if (reader.hasEnded) return undefined
    done += 1
    context.report({ kind: 'progress', phase: 'searching the WAL', done, total, unit: 'segments' })
  }
  return undefined
}

function* segmentsOf(
  route: Route,
  { archived, end, walSegmentSize }: { archived: ArchivedNames; end: Lsn; walSegmentSize: WalSegmentSize },
): Generator<{ name: WalSegmentName; startLsn: Lsn }, void> {
  const size = BigInt(walSegmentSize)
  for (let start = (route.backup.startLsn / size) * size; start < end; start += size) {
    const from = toLsn(start < route.backup.startLsn ? route.backup.startLsn : start)
    const name = nameAt(route, { archived, from, segmentSize: walSegmentSize })
    if (name === undefined) return
    yield { name, startLsn: toLsn(start) }
  }
}

/** A server compares the lower 32 bits of an xid. */
function isTarget(record: WalRecord, target: SearchedTarget): boolean {
  if (target.kind === 'xid') return readTransactionEnd(record)?.xid === Number(target.xid & 0xffff_ffffn)
  const control = readControlRecord(record)
  return control?.kind === 'restore-point' && control.name === target.name
}

function notFound(target: SearchedTarget, candidates: readonly BackupEntry[]): OperationError {
  const what =
    target.kind === 'xid' ? `the end of transaction ${target.xid}` : `restore point "${target.name}"`
  const where =
    candidates.length === 0
      ? 'there is no backup to recover from'
      : `it is not in the archived WAL behind ${candidates.at(-1)?.label ?? ''}`
  return new OperationError('target-unreachable', `looking for ${what}: ${where}`, {
    hint: 'Check its spelling and the timeline, or name a moment with "--target-time" or "--target-lsn".',
  })
}

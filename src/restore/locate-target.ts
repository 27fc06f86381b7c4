import type { ArchivePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { WalSegmentName, WalSegmentSize } from '../domain/wal-segment.ts'
import { readControlRecord } from '../wal/control-records.ts'
import { WalRecordReader, type WalRecord } from '../wal/record-reader.ts'
import { readTransactionEnd } from '../wal/transaction-records.ts'
import { possibleRoutes, type Route, type RouteFacts } from './choose-route.ts'
import { fetchAll } from './read-archive-end.ts'
import { followWal, nameAt, type ArchivedNames } from './wal-route.ts'

/** The record at which a recovery to an xid or a restore point stops. */
export interface LocatedTarget {
  readonly label: BackupLabel
  readonly lsn: Lsn
  readonly endLsn: Lsn
}

type SearchedTarget = Extract<RecoveryTarget, { kind: 'xid' | 'name' }>

/** The WAL that is read for one backup. */
export interface SearchedStretch {
  readonly route: Route
  /** Searched already from here on. */
  readonly to: Lsn | undefined
}

export type FoundRecord = Pick<LocatedTarget, 'lsn' | 'endLsn'>

/**
 * Finds the record that ends a transaction, or makes a restore point, by reading the WAL: first what the newest backup
 * needs, then further back. The backup found with it is the newest that leads there. Throws `target-unreachable` when it
 * is not in the archive, and what `possibleRoutes` throws.
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
  const routes = possibleRoutes({ target, label }, facts)
  const located = await locateOn(routes, (stretch) =>
    searchRoute({ target, archived, ...stretch }, place, context),
  )
  if (located === undefined) throw notFound(target, routes)
  return located
}

/**
 * The first such record behind the start of the newest backup that ended before it: recovery stops at the first one,
 * and cannot stop while the backup is not consistent.
 */
export async function locateOn(
  routes: readonly Route[],
  search: (stretch: SearchedStretch) => Promise<FoundRecord | undefined>,
): Promise<LocatedTarget | undefined> {
  let newer: { route: Route; first: FoundRecord | undefined } | undefined
  for (const route of routes) {
    const { backup, history } = route
    const known = newer?.route.history.timeline === history.timeline ? newer : undefined
    const first = (await search({ route, to: known?.route.backup.startLsn })) ?? known?.first
    if (first !== undefined && first.lsn >= backup.stopLsn) return { label: backup.label, ...first }
    newer = { route, first }
  }
  return undefined
}

interface Search extends SearchedStretch {
  readonly target: SearchedTarget
  readonly archived: ArchivedNames
}

async function searchRoute(
  { target, route, to, archived }: Search,
  place: ArchivePlace,
  context: RunContext,
): Promise<FoundRecord | undefined> {
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

function notFound(target: SearchedTarget, routes: readonly Route[]): OperationError {
  const what =
    target.kind === 'xid' ? `the end of transaction ${target.xid}` : `restore point "${target.name}"`
  const where = `it is not in the archived WAL behind ${routes.at(-1)?.backup.label ?? 'any backup'}`
  return new OperationError('target-unreachable', `looking for ${what}: ${where}`, {
    hint: 'Check its spelling and the timeline, or name a moment with "--target-time" or "--target-lsn".',
  })
}

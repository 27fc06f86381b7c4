import type { ArchivePlace } from '../archive/archive-place.ts'
import type { Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { instantFromPostgres, type Instant } from '../domain/target-time.ts'
import type { WalFacts } from '../wal/wal-facts.ts'
import { walkWal, type WalHole, type WalkRequest } from './walk-wal.ts'

/** A transaction that was committed. */
export interface Commit {
  readonly xid: number
  /** Of the record that commits it. */
  readonly lsn: Lsn
  readonly time: Instant
}

export interface EdgeRequest extends WalkRequest {
  /** Commits before this are not looked at: the beginning of the backup. */
  readonly since: Lsn
  /** Asked for each commit in the order of the WAL, up to the first that it says no to. */
  readonly isKept: (commit: Commit) => boolean
}

/** Between which commits a recovery stops. */
export interface RecoveryEdge {
  /** Undefined: none behind the beginning of the backup is kept. */
  readonly lastKept: Commit | undefined
  /** Undefined: nothing that is archived is lost. */
  readonly firstLost: Commit | undefined
  /** WAL of which nothing is known: the commits there are not among these. */
  readonly holes: readonly WalHole[]
}

/** Finds the last commit that a recovery keeps, and the first one that it loses, out of the indexes of the WAL. */
export async function findEdge(
  request: EdgeRequest,
  place: ArchivePlace,
  context: RunContext,
): Promise<RecoveryEdge> {
  let lastKept: Commit | undefined
  let firstLost: Commit | undefined
  const holes: WalHole[] = []
  const take = ({ transactions }: WalFacts): void => {
    for (let index = 0; index < transactions.count && firstLost === undefined; index += 1) {
      const lsn = transactions.lsnAt(index)
      if (transactions.isAbortAt(index) || lsn < request.since) continue
      const time = instantFromPostgres(transactions.timeAt(index))
      const commit = { xid: transactions.xidAt(index), lsn, time }
      if (request.isKept(commit)) lastKept = commit
      else firstLost = commit
    }
  }
  const breakOff = (hole: WalHole): void => void holes.push(hole)
  await walkWal(request, { place, take, breakOff, isDone: () => firstLost !== undefined }, context)
  return { lastKept, firstLost, holes }
}

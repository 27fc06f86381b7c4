import type { ArchivePlace } from '../archive/archive-place.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readNewestDrill } from '../drill/drill-report-store.ts'
import { findEdge, type Commit, type RecoveryEdge } from '../history/find-edge.ts'
import type { LocatedTarget } from '../restore/locate-target.ts'
import type { RestorePlan } from '../restore/plan-restore.ts'
import type { RecoveryStop } from '../restore/recovery-stop.ts'
import type { PreparedRestore } from '../restore/run-restore.ts'

/** What a restore will keep and lose, and how long it will take, as far as that is known. */
export interface RestorePreview {
  /** Undefined: the target is no place between commits, or the archive could not tell. */
  readonly edge: RecoveryEdge | undefined
  /** By the rates of the last drill that restored something; undefined when there was none. */
  readonly estimatedMs: number | undefined
}

/** Looks a planned restore up in the archive. What it cannot find out it leaves open: the plan holds without. */
export async function previewRestore(
  { plan, facts, place }: PreparedRestore,
  context: RunContext,
): Promise<RestorePreview> {
  const isKept = keeping(plan.stop, facts.located)
  const size = BigInt(place.cluster.walSegmentSize)
  const request = {
    history: facts.route.history,
    from: toLsn((plan.backup.startLsn / size) * size),
    to: toLsn(((plan.wal.endLsn + size - 1n) / size) * size),
    since: plan.backup.startLsn,
    hasSegment: facts.archived.hasSegment,
  }
  return {
    edge: isKept && (await findEdge({ ...request, isKept }, place, context)),
    estimatedMs: await estimate(plan, place, context),
  }
}

/** As the server decides where it stops (R41). Undefined for the end of the backup, which is no place between commits. */
function keeping(
  stop: RecoveryStop,
  located: LocatedTarget | undefined,
): ((commit: Commit) => boolean) | undefined {
  switch (stop.kind) {
    case 'lsn':
      return ({ lsn }) => isBefore(lsn, stop.lsn, stop.inclusive)
    case 'time':
      return ({ time }) => (stop.inclusive ? time <= stop.time : time < stop.time)
    case 'xid':
      return located && (({ lsn }) => isBefore(lsn, located.lsn, stop.inclusive))
    case 'name':
      return located && (({ lsn }) => lsn < located.lsn)
    case 'immediate':
      return undefined
  }
}

const isBefore = (lsn: Lsn, end: Lsn, inclusive: boolean): boolean => (inclusive ? lsn <= end : lsn < end)

/** Files by what was written then, and WAL by what was replayed. */
async function estimate(
  { backup, wal, stop }: RestorePlan,
  place: ArchivePlace,
  context: RunContext,
): Promise<number | undefined> {
  const drill = await readNewestDrill(place, context)
  if (drill?.reached === undefined || drill.writtenBytes === 0 || drill.replayedBytes === 0) return undefined
  const end = stop.kind === 'lsn' && stop.lsn < wal.endLsn ? stop.lsn : wal.endLsn
  const replayed = Math.max(0, Number(end - backup.startLsn))
  const filesMs = (drill.filesMs * backup.restoredBytes) / drill.writtenBytes
  return Math.round(filesMs + (drill.recoveryMs * replayed) / drill.replayedBytes)
}

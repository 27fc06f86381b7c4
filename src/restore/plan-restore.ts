import { formatByteSize } from '../domain/byte-size.ts'
import type { Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { Instant } from '../domain/target-time.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { WalSegmentName } from '../domain/wal-segment.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import type { Route } from './choose-route.ts'
import type { RestorePlace } from './inspect-target.ts'
import type { LeftOut } from './leave-out.ts'
import type { LocatedTarget } from './locate-target.ts'
import type { SpaceNeed } from './measure-space.ts'
import type { ArchiveEnd } from './read-archive-end.ts'
import { planStop, type RecoveryStop } from './recovery-stop.ts'
import type { RestoreRequest } from './restore-request.ts'
import type { WalRoute } from './wal-route.ts'

/** Everything that was found out before anything is touched. */
export interface RestoreFacts {
  readonly route: Route
  readonly walRoute: WalRoute
  readonly archiveEnd: ArchiveEnd | undefined
  readonly located: LocatedTarget | undefined
  readonly places: readonly RestorePlace[]
  readonly space: readonly SpaceNeed[]
  readonly hasConfiguration: boolean
  readonly linksOutside: readonly string[]
  readonly leftOut?: LeftOut | undefined
}

/** What a restore will do, for `--dry-run` and for those who do it. */
export interface RestorePlan {
  readonly request: RestoreRequest
  readonly backup: BackupEntry
  readonly timeline: TimelineId
  readonly stop: RecoveryStop
  readonly wal: {
    readonly first: WalSegmentName
    readonly last: WalSegmentName
    readonly count: number
    /** What can be reached at most along this way. */
    readonly endLsn: Lsn
    readonly lastCommitAt: Instant | undefined
  }
  /** The data directory first. */
  readonly places: readonly RestorePlace[]
  /** Existing content is compared, and what is not in the backup is removed. */
  readonly isDelta: boolean
  /** Undefined: every file is restored. */
  readonly leftOut?: LeftOut | undefined
  readonly warnings: readonly string[]
}

/** Decides whether and how; changes nothing. Throws what stands in the way. */
export function planRestore(request: RestoreRequest, facts: RestoreFacts): RestorePlan {
  const { route, walRoute, archiveEnd, places, leftOut } = facts
  const { backup, history } = route
  const stop = planStop(request.target, { backup, walRoute, archiveEnd, located: facts.located })
  refuseLackOfSpace(facts.space)
  return {
    request,
    backup,
    timeline: history.timeline,
    stop,
    wal: describeWal(walRoute, archiveEnd),
    places,
    isDelta: places.some(({ state }) => state !== 'vacant'),
    leftOut,
    warnings: warningsOf(facts, request),
  }
}

/** The WAL that a recovery along a way can read. */
export function describeWal(walRoute: WalRoute, archiveEnd: ArchiveEnd | undefined): RestorePlan['wal'] {
  return {
    first: walRoute.first,
    last: walRoute.last ?? walRoute.first,
    count: walRoute.count,
    endLsn: archiveEnd?.lastRecordEndLsn ?? walRoute.endLsn,
    lastCommitAt: archiveEnd?.lastCommitAt,
  }
}

function refuseLackOfSpace(space: readonly SpaceNeed[]): void {
  const short = space.find(({ neededBytes, availableBytes }) => neededBytes > availableBytes)
  if (short === undefined) return
  const where = short.paths.map((path) => `"${path}"`).join(' and ')
  throw new OperationError(
    'no-space',
    `restoring into ${where}: expected ${formatByteSize(short.neededBytes)} of space, found ${formatByteSize(short.availableBytes)}`,
    {
      hint: 'Free space there, or choose another directory; tablespaces can go elsewhere with "--tablespace-map".',
    },
  )
}

function warningsOf(facts: RestoreFacts, { isIsolated }: RestoreRequest): readonly string[] {
  const { route, walRoute, linksOutside, hasConfiguration, places } = facts
  const { damagedPageCount, label, walRetention } = route.backup
  return [
    ...(damagedPageCount > 0
      ? [`backup ${label} holds ${damagedPageCount} pages that were damaged when it was taken`]
      : []),
    // Behind a backup of which only the own WAL is kept it is missing on purpose, and no target there is taken.
    ...(walRoute.hasGap && walRetention === 'onward'
      ? [`WAL segment ${walRoute.missing} is missing: nothing behind it can be reached`]
      : []),
    ...(hasConfiguration || isIsolated === true
      ? []
      : [
          'postgresql.conf or pg_hba.conf is not part of the backup, because it is not in the data directory: put it back, or name it with "-c config_file" when you start the server',
        ]),
    ...places.flatMap(({ walLink }) =>
      walLink === undefined ? [] : [`pg_wal was a link to "${walLink}" and becomes a directory`],
    ),
    ...linksOutside.map(
      (path) =>
        `"${path}" was a link out of the data directory and is left out: make it by hand if it is needed`,
    ),
  ]
}

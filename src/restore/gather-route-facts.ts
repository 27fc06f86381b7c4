import { surveyArchive } from '../archive/archive-inventory.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import { chooseRoute, type Route } from './choose-route.ts'
import { locateTarget, type LocatedTarget } from './locate-target.ts'
import { readArchiveEnd, type ArchiveEnd } from './read-archive-end.ts'
import { followWal, type ArchivedNames, type WalRoute } from './wal-route.ts'

/** The way to a target, as far as backups, timelines and WAL tell. */
export interface FoundRoute {
  readonly route: Route
  /** What the archive holds, as far as names tell. */
  readonly archived: ArchivedNames
  readonly walRoute: WalRoute
  readonly archiveEnd: ArchiveEnd | undefined
  readonly located: LocatedTarget | undefined
}

/** Finds the way from a backup to a target. Changes nothing; throws what `chooseRoute` and `readArchiveEnd` throw. */
export async function gatherRouteFacts(
  { target, label }: { readonly target: RecoveryTarget; readonly label: BackupLabel | undefined },
  place: ArchivePlace,
  context: RunContext,
): Promise<FoundRoute> {
  const { repository, cluster } = place
  const { backups } = await readCatalogue(repository, cluster.id, context)
  const inventory = await surveyArchive(place, context)
  const { timelines, histories, unreadableHistories } = inventory
  const facts = { backups, timelines, histories, unreadableHistories }
  const conflicts = new Set(inventory.conflicts.map(({ name }) => name.name))
  const archived = { hasSegment: inventory.hasSegment, timelines: inventory.timelines, conflicts }
  const located =
    target.kind === 'xid' || target.kind === 'name'
      ? await locateTarget({ target, label, facts, archived }, place, context)
      : undefined
  const route = chooseRoute(
    { target, label: located?.label ?? label, ...(located && { locatedLsn: located.lsn }) },
    facts,
  )
  const walRoute = followWal(route, archived, cluster.walSegmentSize)
  const archiveEnd =
    walRoute.count === 0 || target.kind === 'immediate'
      ? undefined
      : await readArchiveEnd(
          { route, walRoute, archived, needsCommit: target.kind === 'time' },
          place,
          context,
        )
  return { route, archived, walRoute, archiveEnd, located }
}

import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { changeCatalogue } from '../repository/catalogue.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { requireListed, requireUnpinned } from '../retention/plan-delete.ts'
import { acquireExpireLease } from './expire-cluster.ts'
import { severalRepos } from './expire-one.ts'
import { rememberCatalogue } from './guarded-catalogue.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'
import { chooseDumps, findListed, nowhereListed } from './pin-backup.ts'

export interface DeleteDumpRequest extends ClusterSelection {
  readonly label: BackupLabel
  readonly isDryRun: boolean
  /** Called with what is going to be lost, before anything is: throws to keep it. */
  readonly confirm: (planned: PlannedDumpDelete) => Promise<void>
}

export interface PlannedDumpDelete {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly dump: ListedDump
}

/**
 * Takes one dump out of the catalogue. Its data goes with the next sweep after the grace. Nothing else depends on it. Throws
 * `not-found`, `backup-pinned`, and what `confirm` throws.
 */
export async function deleteDump(
  request: DeleteDumpRequest,
  context: RunContext,
): Promise<PlannedDumpDelete> {
  await using opened = await openCluster({ ...request, usesReserve: !request.isDryRun }, context)
  const { label } = request
  const cluster = opened.settings.name
  const search = { label, places: opened.repositories, choose: chooseDumps }
  const [found, ...others] = await findListed(search, context)
  if (found === undefined) throw nowhereListed(label, cluster)
  if (others.length > 0) throw severalRepos(label)
  const { place, listed: dump } = found
  requireUnpinned(dump, place)
  const planned = { cluster, repo: place.name, location: place.repository.store.location, dump }
  if (request.isDryRun) return planned
  await request.confirm(planned)
  await remove(label, place, context)
  return planned
}

async function remove(label: BackupLabel, place: ClusterRepository, context: RunContext): Promise<void> {
  await using lease = await acquireExpireLease(place, context)
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  await changeCatalogue(
    place.repository,
    {
      clusterId: place.cluster.id,
      // Asked again for what is newest: it may have been pinned.
      change: ({ dumps }) => {
        requireUnpinned(requireListed(label, dumps, place), place)
        return { kind: 'remove-dumps', labels: [label] }
      },
      confirm: () => lease.confirm(),
    },
    held,
  )
  await rememberCatalogue(place, held)
}

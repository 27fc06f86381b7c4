import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { nounOf, type BackupLabel } from '../domain/backup-label.ts'
import { changeCatalogue } from '../repository/catalogue.ts'
import { planDelete, type DeletePlan, type DeleteRequest } from '../retention/plan-delete.ts'
import { acquireExpireLease } from './expire-cluster.ts'
import { gatherExpireFacts } from './expire-facts.ts'
import { rememberCatalogue } from './guarded-catalogue.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'
import { chooseBackups, findListed, nowhereListed } from './pin-backup.ts'

export interface DeleteBackupRequest extends ClusterSelection, DeleteRequest {
  readonly isDryRun: boolean
  /** Called with what is going to be lost, before anything is: throws to keep it. */
  readonly confirm: (planned: PlannedDelete) => Promise<void>
}

export interface PlannedDelete {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly plan: DeletePlan
}

/**
 * Takes one backup out of the catalogue. Its data goes with the next sweep after the grace. Throws what `planDelete`
 * and `confirm` throw.
 */
export async function deleteBackup(
  request: DeleteBackupRequest,
  context: RunContext,
): Promise<PlannedDelete> {
  await using opened = await openCluster({ ...request, usesReserve: !request.isDryRun }, context)
  const cluster = opened.settings.name
  const search = { label: request.label, places: opened.repositories, choose: chooseBackups }
  const [found, ...others] = await findListed(search, context)
  if (found === undefined) throw nowhereListed(request.label, cluster)
  if (others.length > 0) throw severalRepos(request.label)
  const { place } = found
  const planned: PlannedDelete = {
    cluster,
    repo: place.name,
    location: place.repository.store.location,
    plan: await plan(request, place, context),
  }
  if (request.isDryRun) return planned
  await request.confirm(planned)
  await remove(request, place, context)
  return planned
}

async function plan(
  request: DeleteRequest,
  place: ClusterRepository,
  context: RunContext,
): Promise<DeletePlan> {
  const { catalogue, knowledge } = await gatherExpireFacts(place, context)
  return planDelete(request, { ...knowledge, listed: catalogue.backups }, place)
}

async function remove(request: DeleteRequest, place: ClusterRepository, context: RunContext): Promise<void> {
  await using lease = await acquireExpireLease(place, context)
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  const { knowledge } = await gatherExpireFacts(place, held)
  await changeCatalogue(
    place.repository,
    {
      clusterId: place.cluster.id,
      // Asked again for what is newest: it may have been pinned, or have become the last one.
      change: ({ backups }) => {
        const { backup } = planDelete(request, { ...knowledge, listed: backups }, place)
        return { kind: 'remove', labels: [backup.label], ownWal: [] }
      },
      confirm: () => lease.confirm(),
    },
    held,
  )
  await rememberCatalogue(place, held)
}

export function severalRepos(label: BackupLabel): OperationError {
  return new OperationError('usage', `deleting ${nounOf(label)} ${label}: several repositories list it`, {
    hint: 'Name the one to delete it from with "--repo".',
  })
}

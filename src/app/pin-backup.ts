import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { changeCatalogue } from '../repository/catalogue.ts'
import { requireListed } from '../retention/plan-delete.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'

export interface PinRequest extends ClusterSelection {
  readonly label: string
  readonly isPinned: boolean
}

export interface PinnedBackup {
  readonly cluster: string
  /** The repositories that list the backup. */
  readonly repos: readonly { readonly name: string; readonly changed: boolean }[]
  readonly backup: ListedBackup
}

/** Keeps a backup whatever the rules say, or gives it back to them, wherever it is listed. Throws `not-found`. */
export async function pinBackup(request: PinRequest, context: RunContext): Promise<PinnedBackup> {
  await using opened = await openCluster(request, context)
  const found = await findListed(opened.repositories, request.label, context)
  const repos: PinnedBackup['repos'][number][] = []
  for (const { place, backup } of found) {
    const changed = backup.isPinned !== request.isPinned
    if (changed) await setPin(request, place, context)
    repos.push({ name: place.name, changed })
  }
  const [first] = found
  if (first === undefined) throw nowhereListed(request.label, opened.settings.name)
  return { cluster: opened.settings.name, repos, backup: { ...first.backup, isPinned: request.isPinned } }
}

export interface FoundBackup {
  readonly place: ClusterRepository
  readonly backup: ListedBackup
}

/** Where a backup is listed. */
export async function findListed(
  places: readonly ClusterRepository[],
  label: string,
  context: RunContext,
): Promise<readonly FoundBackup[]> {
  const found: FoundBackup[] = []
  for (const place of places) {
    const { backups } = await readGuardedCatalogue(place, context)
    const backup = backups.find((candidate) => candidate.label === label)
    if (backup !== undefined) found.push({ place, backup })
  }
  return found
}

export function nowhereListed(label: string, cluster: string): OperationError {
  return new OperationError(
    'not-found',
    `looking for backup ${quote(label)} of cluster "${cluster}": no repository lists it`,
    { hint: 'Run "holdfast info" to see the labels.' },
  )
}

async function setPin(
  { label, isPinned }: PinRequest,
  place: ClusterRepository,
  context: RunContext,
): Promise<void> {
  await changeCatalogue(
    place.repository,
    {
      clusterId: place.cluster.id,
      // Somebody may have removed it meanwhile: then it must not look as if it were kept.
      change: ({ backups }) => ({
        kind: isPinned ? 'pin' : 'unpin',
        label: requireListed(label, backups, place).label,
      }),
      // It takes nothing away, so it needs no lease.
      confirm: () => Promise.resolve(),
    },
    context,
  )
  await rememberCatalogue(place, context)
}

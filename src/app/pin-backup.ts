import { nounOf } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { changeCatalogue, type Catalogue } from '../repository/catalogue.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { requireListed } from '../retention/plan-delete.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'

export interface PinRequest extends ClusterSelection {
  readonly label: string
  readonly isPinned: boolean
}

interface Pinned<One> {
  readonly cluster: string
  /** The repositories that list it. */
  readonly repos: readonly { readonly name: string; readonly changed: boolean }[]
  readonly listed: One
}

export type PinnedBackup = Pinned<ListedBackup>
export type PinnedDump = Pinned<ListedDump>

/** Backups or dumps out of a catalogue. */
type Choose<One> = (catalogue: Catalogue) => readonly One[]

export const chooseBackups: Choose<ListedBackup> = ({ backups }) => backups
export const chooseDumps: Choose<ListedDump> = ({ dumps }) => dumps

/** Keeps a backup whatever the rules say, or gives it back to them, wherever it is listed. Throws `not-found`. */
export function pinBackup(request: PinRequest, context: RunContext): Promise<PinnedBackup> {
  return pin({ ...request, choose: chooseBackups }, context)
}

/** The same for a dump. */
export function pinDump(request: PinRequest, context: RunContext): Promise<PinnedDump> {
  return pin({ ...request, choose: chooseDumps }, context)
}

async function pin<One extends ListedBackup | ListedDump>(
  request: PinRequest & { readonly choose: Choose<One> },
  context: RunContext,
): Promise<Pinned<One>> {
  await using opened = await openCluster(request, context)
  const found = await findListed({ ...request, places: opened.repositories }, context)
  const repos: Pinned<One>['repos'][number][] = []
  for (const { place, listed } of found) {
    const changed = listed.isPinned !== request.isPinned
    if (changed) await setPin(request, place, context)
    repos.push({ name: place.name, changed })
  }
  const [first] = found
  if (first === undefined) throw nowhereListed(request.label, opened.settings.name)
  return { cluster: opened.settings.name, repos, listed: { ...first.listed, isPinned: request.isPinned } }
}

interface Found<One> {
  readonly place: ClusterRepository
  readonly listed: One
}

interface Search<One> {
  readonly places: readonly ClusterRepository[]
  readonly label: string
  readonly choose: Choose<One>
}

/** Where a backup or a dump is listed. */
export async function findListed<One extends ListedBackup | ListedDump>(
  { places, label, choose }: Search<One>,
  context: RunContext,
): Promise<readonly Found<One>[]> {
  const found: Found<One>[] = []
  for (const place of places) {
    const listed = choose(await readGuardedCatalogue(place, context)).find((one) => one.label === label)
    if (listed !== undefined) found.push({ place, listed })
  }
  return found
}

export function nowhereListed(label: string, cluster: string): OperationError {
  return new OperationError(
    'not-found',
    `looking for ${nounOf(label)} ${quote(label)} of cluster "${cluster}": no repository lists it`,
    { hint: 'Run "holdfast info" to see the labels.' },
  )
}

async function setPin<One extends ListedBackup | ListedDump>(
  { label, isPinned, choose }: PinRequest & { readonly choose: Choose<One> },
  place: ClusterRepository,
  context: RunContext,
): Promise<void> {
  await changeCatalogue(
    place.repository,
    {
      clusterId: place.cluster.id,
      // Somebody may have removed it meanwhile: then it must not look as if it were kept.
      change: (catalogue) => ({
        kind: isPinned ? 'pin' : 'unpin',
        label: requireListed(label, choose(catalogue), place).label,
      }),
      // It takes nothing away, so it needs no lease.
      confirm: () => Promise.resolve(),
    },
    context,
  )
  await rememberCatalogue(place, context)
}

import type { SpareArchives } from '../archive/archive-place.ts'
import { reposOfCluster, selectCluster } from '../config/select-configured.ts'
import { copiesRequired } from '../domain/archive-policy.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { SparePacks } from '../transfer/spare-packs.ts'
import type { OpenedPlaces } from './open-archive-places.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'

/** What the other repositories of a cluster give to one that something is restored from. Disposing closes them. */
export interface Spares extends AsyncDisposable {
  /** The place, with the archives of the others, unless it was named or is the only one. */
  readonly place: ClusterRepository
  /** Undefined as well when it was named or is the only one. */
  readonly packs: SparePacks | undefined
}

/**
 * The other repositories of a cluster, for what a restore from this one finds damaged or lacks. They are opened when they
 * are wanted. Where not all of them must hold a segment, any of them may have the newest WAL: then they are mixed.
 */
export function spareRepositories(
  { configuration, clusterName, repoName }: ClusterSelection,
  place: ClusterRepository,
  context: RunContext,
): Spares {
  const owned = new AsyncDisposableStack()
  const dispose = { [Symbol.asyncDispose]: () => owned.disposeAsync() }
  const all = reposOfCluster(configuration, selectCluster(configuration, clusterName)).map(({ name }) => name)
  // What one of them had at a moment in the past, others need not have had.
  const isAlone = repoName !== undefined || configuration.repoAsOf !== undefined
  const repos = isAlone ? [] : all.filter((name) => name !== place.name)
  if (repos.length === 0) return { place, packs: undefined, ...dispose }
  const areMixed = copiesRequired(configuration.archive.policy, all.length) < all.length
  const open = opener({ configuration, clusterName, repos }, owned, context)
  const packs = owned.use(new SparePacks(place, async () => (await open()).places))
  return { place: { ...place, spares: { repos, areMixed, open } }, packs, ...dispose }
}

interface Wanted extends Pick<ClusterSelection, 'configuration' | 'clusterName'> {
  readonly repos: readonly string[]
}

/** Places whose first one has these repositories as spares, as they were planned with. Disposing closes all. */
export function withSpares(
  { areMixed, ...wanted }: Wanted & { readonly areMixed: boolean },
  { places, first }: { readonly places: OpenedPlaces; readonly first: ClusterRepository },
  context: RunContext,
): OpenedPlaces {
  const owned = new AsyncDisposableStack()
  owned.use(places)
  const spares = { repos: wanted.repos, areMixed, open: opener(wanted, owned, context) }
  return {
    repositories: [{ ...first, spares }],
    failures: places.failures,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** What opens them when it is first called. What it has opened is in `owned`. */
function opener(
  { configuration, clusterName, repos }: Wanted,
  owned: AsyncDisposableStack,
  context: RunContext,
): () => Promise<Opened> {
  const openAll = async (): Promise<Opened> => {
    const places: ClusterRepository[] = []
    const failures: unknown[] = []
    for (const name of repos) {
      try {
        const opened = owned.use(await openCluster({ configuration, clusterName, repoName: name }, context))
        places.push(opened.repositories[0])
      } catch (error) {
        context.signal.throwIfAborted()
        failures.push(error)
        const message = error instanceof Error ? error.message : String(error)
        context.report({
          kind: 'warning',
          message: `nothing can be taken from repo ${quote(name)}: ${message}`,
        })
      }
    }
    return { places, failures }
  }
  let opening: Promise<Opened> | undefined
  return () => (opening ??= openAll())
}

interface Opened extends Awaited<ReturnType<SpareArchives['open']>> {
  readonly places: readonly ClusterRepository[]
}

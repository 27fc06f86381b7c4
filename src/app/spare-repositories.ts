import { reposOfCluster, selectCluster } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { SparePacks } from '../transfer/spare-packs.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'

/** Disposing closes the repositories that were opened. */
export interface Spares extends AsyncDisposable {
  /** Undefined: the repository was named, or is the only one. */
  readonly spares: SparePacks | undefined
}

/** The other repositories of a cluster, for what a restore from this one finds damaged. They are opened when they are wanted. */
export function spareRepositories(
  { configuration, clusterName, repoName }: ClusterSelection,
  place: ClusterRepository,
  context: RunContext,
): Spares {
  const owned = new AsyncDisposableStack()
  const repos = reposOfCluster(configuration, selectCluster(configuration, clusterName))
  const others = repoName === undefined ? repos.filter(({ name }) => name !== place.name) : []
  const open = async (): Promise<readonly ClusterRepository[]> => {
    const places: ClusterRepository[] = []
    for (const { name } of others) {
      try {
        const opened = owned.use(await openCluster({ configuration, clusterName, repoName: name }, context))
        places.push(opened.repositories[0])
      } catch (error) {
        context.signal.throwIfAborted()
        const message = error instanceof Error ? error.message : String(error)
        context.report({ kind: 'warning', message: `nothing can be taken from repo "${name}": ${message}` })
      }
    }
    return places
  }
  const spares = others.length === 0 ? undefined : owned.use(new SparePacks(place, open))
  return { spares, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

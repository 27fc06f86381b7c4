import { reposOfCluster, selectCluster, type RepoConfiguration } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { failedItem, type CheckItem } from './check-item.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'

/** A repository that was opened, or why it was not. */
export type TriedRepository =
  | { readonly opened: ClusterRepository; readonly settings: RepoConfiguration }
  | { readonly item: CheckItem }

/** Opens each of the chosen repositories of a cluster by itself: one that fails hides no other. */
export async function tryRepositories(
  { configuration, clusterName, repoName }: ClusterSelection,
  held: AsyncDisposableStack,
  context: RunContext,
): Promise<readonly TriedRepository[]> {
  const repos = reposOfCluster(configuration, selectCluster(configuration, clusterName))
  const tried: TriedRepository[] = []
  for (const settings of repos.filter(({ name }) => repoName === undefined || name === repoName)) {
    try {
      const cluster = held.use(
        await openCluster({ configuration, clusterName, repoName: settings.name }, context),
      )
      tried.push({ opened: cluster.repositories[0], settings })
    } catch (error) {
      context.signal.throwIfAborted()
      tried.push({ item: failedItem(`repo ${settings.name}`, error) })
    }
  }
  return tried
}

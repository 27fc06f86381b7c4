import type { Configuration } from '../config/configuration-schema.ts'
import { reposOfCluster, selectCluster } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { openCluster, type ClusterRepository } from './open-cluster.ts'

/** The repositories of a cluster that could be opened, and why the others could not. */
export interface OpenedPlaces extends AsyncDisposable {
  readonly repositories: readonly ClusterRepository[]
  readonly failures: readonly unknown[]
}

export interface PlacesSelection {
  readonly configuration: Configuration
  readonly clusterName: string | undefined
}

/**
 * Opens each repository of a cluster by itself: one that is gone must not keep WAL from the others, nor the others' WAL
 * from recovery. The caller answers for the failures; nothing counts as done while there are any.
 */
export async function openArchivePlaces(
  { configuration, clusterName }: PlacesSelection,
  context: RunContext,
): Promise<OpenedPlaces> {
  const cluster = selectCluster(configuration, clusterName)
  await using opened = new AsyncDisposableStack()
  const repositories: ClusterRepository[] = []
  const failures: unknown[] = []
  for (const { name: repoName } of reposOfCluster(configuration, cluster)) {
    try {
      const selection = { configuration, clusterName: cluster.name, repoName }
      repositories.push(...opened.use(await openCluster(selection, context)).repositories)
    } catch (error) {
      context.signal.throwIfAborted()
      failures.push(error)
    }
  }
  const owned = opened.move()
  return { repositories, failures, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

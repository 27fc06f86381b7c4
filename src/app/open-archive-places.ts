import { selectCluster } from '../config/select-configured.ts'
import { isOperationError, type OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import {
  chooseRepos,
  openCluster,
  type ClusterRepository,
  type ClusterSelection,
  type OpenedCluster,
} from './open-cluster.ts'

/** The repositories of a cluster that could be opened, and why the others could not. */
export interface OpenedPlaces extends AsyncDisposable {
  readonly repositories: readonly ClusterRepository[]
  readonly failures: readonly unknown[]
}

/**
 * Opens each chosen repository of a cluster by itself: one that is gone must not keep WAL from the others, nor the
 * others' WAL from recovery. The caller answers for the failures; nothing counts as done while there are any.
 */
export async function openArchivePlaces(
  { configuration, clusterName, repoName: chosen }: ClusterSelection,
  context: RunContext,
): Promise<OpenedPlaces> {
  const cluster = selectCluster(configuration, clusterName)
  await using opened = new AsyncDisposableStack()
  const repositories: ClusterRepository[] = []
  const failures: unknown[] = []
  for (const { name: repoName } of chooseRepos(configuration, cluster, chosen)) {
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

/**
 * Opens the first of the chosen repositories of a cluster that can be opened and that `guard` does not refuse, and warns of
 * those before it: one repository is enough to restore from. Throws the first's failure when there is none.
 */
export async function openFirstPlace(
  { configuration, clusterName, repoName: chosen }: ClusterSelection,
  guard: (place: ClusterRepository) => Promise<void>,
  context: RunContext,
): Promise<OpenedCluster> {
  const cluster = selectCluster(configuration, clusterName)
  const repos = chooseRepos(configuration, cluster, chosen)
  let firstFailure: unknown
  for (const { name: repoName } of repos) {
    try {
      await using opened = new AsyncDisposableStack()
      const selection = { configuration, clusterName: cluster.name, repoName }
      const place = opened.use(await openCluster(selection, context))
      await guard(place.repositories[0])
      opened.move()
      return place
    } catch (error) {
      context.signal.throwIfAborted()
      if (!isOperationError(error)) throw error
      firstFailure ??= error
      if (repos.length > 1) warnOf(repoName, error, context)
    }
  }
  throw firstFailure
}

function warnOf(repoName: string, { message, hint }: OperationError, { report }: RunContext): void {
  const warning = `passing over the repo ${quote(repoName)}: ${message}`
  report({ kind: 'warning', message: warning, ...(hint !== undefined && { hint }) })
}

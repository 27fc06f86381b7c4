import { selectCluster } from '../config/select-configured.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import {
  chooseRepos,
  openCluster,
  type ClusterRepository,
  type ClusterSelection,
  type OpenedCluster,
} from './open-cluster.ts'
import { settleEnough } from '../platform/settle-enough.ts'

/** The repositories of a cluster that could be opened, and why the others could not. */
export interface OpenedPlaces extends AsyncDisposable {
  readonly repositories: readonly ClusterRepository[]
  readonly failures: readonly unknown[]
}

interface Wanted extends ClusterSelection {
  /** When so many are open the others have a moment more, and are failures then. Not set: all of them are waited for. */
  readonly enough?: number
  /** Names of repositories that are not opened. */
  readonly passOver?: ReadonlySet<string>
}

/** How long other repositories may take to be opened when enough of them are. */
const openingGraceMs = 2000

/**
 * Opens each chosen repository of a cluster by itself, all at once: one that is gone must not keep WAL from the others, nor
 * the others' WAL from recovery. The caller answers for the failures.
 */
export async function openArchivePlaces(
  { configuration, clusterName, repoName: chosen, enough, passOver }: Wanted,
  context: RunContext,
): Promise<OpenedPlaces> {
  const cluster = selectCluster(configuration, clusterName)
  const repos = chooseRepos(configuration, cluster, chosen).filter(({ name }) => passOver?.has(name) !== true)
  await using opened = new AsyncDisposableStack()
  const tasks = repos.map(({ name: repoName }) => async (signal: AbortSignal) => {
    const selection = { configuration, clusterName: cluster.name, repoName }
    const place = await openCluster(selection, { ...context, signal })
    if (opened.disposed) await place[Symbol.asyncDispose]()
    else opened.use(place)
    return place.repositories
  })
  const late = new OperationError('store-unreachable', 'opening a repository: the others were quicker')
  const outcomes = await settleEnough(
    tasks,
    { enough: enough ?? repos.length, graceMs: openingGraceMs, late },
    context,
  )
  context.signal.throwIfAborted()
  const repositories = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
  const failures = outcomes.flatMap((outcome): unknown[] =>
    outcome.status === 'rejected' ? [outcome.reason] : [],
  )
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

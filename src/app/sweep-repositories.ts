import type { SweepDocument } from '../api/sweep-document.ts'
import { selectCluster } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import { listKept } from './expire-listing.ts'
import { sweepCluster, type SweepRequest, type SweepResult } from '../retention/sweep.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import { chooseRepos, openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'

interface SweptRepo {
  readonly name: string
  readonly location: string
  readonly result: SweepResult
}

export interface SweptCluster {
  readonly name: string
  readonly repos: readonly SweptRepo[]
  /** Repositories that could not be swept: one that fails does not keep the others from it. */
  readonly failures: readonly { readonly name: string; readonly error: unknown }[]
}

/**
 * Sweeps each repository of a cluster. What fails there is what `sweepCluster` throws, and `repository-went-back` for an
 * older copy, whose catalogue does not list what is still needed. One in which nothing was ever listed holds no garbage.
 */
export async function sweepRepositories(
  request: SweepRequest & ClusterSelection,
  context: RunContext,
): Promise<SweptCluster> {
  const { configuration, clusterName, repoName } = request
  const settings = selectCluster(configuration, clusterName)
  const repos: SweptRepo[] = []
  const failures: SweptCluster['failures'][number][] = []
  for (const { name } of chooseRepos(configuration, settings, repoName)) {
    try {
      const selection = { configuration, clusterName: settings.name, repoName: name }
      await using opened = await openCluster({ ...selection, usesReserve: !request.isDryRun }, context)
      const swept = await sweepRepo(request, opened.repositories[0], context)
      if (swept !== undefined) repos.push(swept)
    } catch (error) {
      context.signal.throwIfAborted()
      failures.push({ name, error })
    }
  }
  return { name: settings.name, repos, failures }
}

async function sweepRepo(
  request: SweepRequest,
  place: ClusterRepository,
  context: RunContext,
): Promise<SweptRepo | undefined> {
  const { name } = place
  const { number } = await readGuardedCatalogue(place, context)
  if (number === 0) {
    context.report({
      kind: 'note',
      message: `repo "${name}": no backup was ever listed, so nothing is swept`,
    })
    return undefined
  }
  const result = await sweepCluster(request, place, context)
  if (!request.isDryRun) await rememberCatalogue(place, context)
  return { name, location: place.repository.store.location, result }
}

/** What was swept, as programs are told of it. */
export function listSwept({ name, repos, failures }: SweptCluster, dryRun: boolean): SweepDocument {
  return {
    version: 1,
    cluster: name,
    dryRun,
    repos: repos.map(({ result, ...repo }) => ({
      ...repo,
      deleted: result.deleted,
      kept: result.kept.map(listKept),
      waiting: result.waiting,
      nextDueAt: result.nextDueAtMs === undefined ? null : formatInstant(instantFromMs(result.nextDueAtMs)),
      postponedFor: result.postponedFor ?? null,
    })),
    failures: failures.map(({ error, ...repo }) => ({
      ...repo,
      message: error instanceof Error ? error.message : String(error),
    })),
  }
}

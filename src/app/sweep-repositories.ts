import type { SweepDocument } from '../api/sweep-document.ts'
import type { RunContext } from '../domain/run-context.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import { sweepCluster, type SweepRequest, type SweepResult } from '../retention/sweep.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import { openCluster, type ClusterSelection } from './open-cluster.ts'

interface SweptRepo {
  readonly name: string
  readonly location: string
  readonly result: SweepResult
}

export interface SweptCluster {
  readonly name: string
  readonly repos: readonly SweptRepo[]
}

/**
 * Sweeps each repository of a cluster. Throws what `sweepCluster` throws, and `repository-went-back` for an older copy,
 * whose catalogue does not list what is still needed.
 */
export async function sweepRepositories(
  request: SweepRequest & ClusterSelection,
  context: RunContext,
): Promise<SweptCluster> {
  await using opened = await openCluster({ ...request, usesReserve: !request.isDryRun }, context)
  const repos: SweptRepo[] = []
  for (const place of opened.repositories) {
    await readGuardedCatalogue(place, context)
    const result = await sweepCluster(request, place, context)
    if (!request.isDryRun) await rememberCatalogue(place, context)
    repos.push({ name: place.name, location: place.repository.store.location, result })
  }
  return { name: opened.settings.name, repos }
}

/** What was swept, as programs are told of it. */
export function listSwept({ name, repos }: SweptCluster, dryRun: boolean): SweepDocument {
  return {
    version: 1,
    cluster: name,
    dryRun,
    repos: repos.map(({ result, ...repo }) => ({
      ...repo,
      deleted: result.deleted,
      waiting: result.waiting,
      nextDueAt: result.nextDueAtMs === undefined ? null : formatInstant(instantFromMs(result.nextDueAtMs)),
      postponedFor: result.postponedFor ?? null,
    })),
  }
}

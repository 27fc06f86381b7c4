import type { VerifiedRepoListing, VerifyDocument } from '../api/verify-document.ts'
import { selectCluster } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { objectProblem } from '../verify/object-problem.ts'
import { runVerify, type VerifyReport, type VerifyRequest } from '../verify/run-verify.ts'
import { judgeCatalogue, reportDoubts } from './guarded-catalogue.ts'
import { listIntegrity } from './list-damage.ts'
import { chooseRepos, openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'

export interface VerifiedRepo extends VerifyReport {
  readonly name: string
  readonly location: string
}

export interface VerifiedCluster {
  readonly name: string
  readonly repos: readonly VerifiedRepo[]
  /** Repositories that could not be verified, and why. */
  readonly failures: readonly { readonly name: string; readonly location: string; readonly error: unknown }[]
}

/**
 * Verifies what each repository holds of a cluster, one after the other. One that cannot be verified does not keep the
 * others from it; when none can, the first one's failure is thrown.
 */
export async function verifyCluster(
  request: ClusterSelection & VerifyRequest,
  context: RunContext,
): Promise<VerifiedCluster> {
  const { configuration, clusterName, repoName } = request
  const settings = selectCluster(configuration, clusterName)
  const repos: VerifiedRepo[] = []
  const failures: VerifiedCluster['failures'][number][] = []
  for (const { name, location } of chooseRepos(configuration, settings, repoName)) {
    try {
      await using opened = await openCluster({ ...request, repoName: name }, context)
      const [place] = opened.repositories
      await tellDoubts(place, context)
      const report = await runVerify(request, place, context)
      repos.push({ ...report, name, location: place.repository.store.location })
    } catch (error) {
      context.signal.throwIfAborted()
      failures.push({ name, location, error })
    }
  }
  if (repos.length === 0 && failures[0] !== undefined) throw failures[0].error
  return { name: settings.name, repos, failures }
}

/** Every byte of an older copy of a repository is whole; only this host can know that it is older. */
async function tellDoubts(place: ClusterRepository, context: RunContext): Promise<void> {
  try {
    reportDoubts(place, await judgeCatalogue(place, context), context)
  } catch (error) {
    // A catalogue that cannot be read is what verify is about to find out.
    if (objectProblem(error) === undefined) throw error
  }
}

/** A verified cluster as programs are told of it. */
export function listVerified({ name, repos, failures }: VerifiedCluster): VerifyDocument {
  return {
    version: 1,
    cluster: name,
    isDamaged: repos.some(({ damage }) => damage.length > 0),
    repos: repos.map(listRepo),
    failures: failures.map(({ error, ...repo }) => ({
      ...repo,
      message: error instanceof Error ? error.message : String(error),
    })),
  }
}

function listRepo(repo: VerifiedRepo): VerifiedRepoListing {
  const { name, location, scope, proven, unreferenced, damage, state } = repo
  return {
    name,
    location,
    scope: scope.kind,
    percent: scope.kind === 'sample' ? scope.percent : null,
    durationMs: Math.round(repo.durationMs),
    provenObjects: proven.objects,
    provenStoredBytes: proven.storedBytes,
    provenRawBytes: proven.rawBytes,
    storedBytes: repo.storedBytes,
    passedOverBytes: repo.passedOverBytes,
    unreferencedPacks: unreferenced.packs,
    unreferencedBytes: unreferenced.bytes,
    unknownObjects: repo.unknownObjects,
    isRemembered: repo.isRemembered,
    ...listIntegrity({ ...state, damage }),
  }
}

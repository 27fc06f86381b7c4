import type { SpareArchives } from '../archive/archive-place.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import {
  reposOfCluster,
  selectCluster,
  type ClusterConfiguration,
  type RepoConfiguration,
} from '../config/select-configured.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { requireCluster, type ClusterRecord } from '../repository/cluster-record.ts'
import type { Repository } from '../repository/open-repository.ts'
import { openConfiguredRepository, type RepositoryUse } from './open-configured-repository.ts'

/** One repository of a cluster, opened, with what it knows about the cluster. */
export interface ClusterRepository {
  readonly name: string
  readonly repository: Repository
  readonly cluster: ClusterRecord
  /** Other repositories of the cluster, for what a restore from this one lacks. */
  readonly spares?: SpareArchives | undefined
  /** Where this host remembers what it has seen, as configured. */
  readonly stateDirectory: string | undefined
}

/** A configured cluster and its repositories, opened. Disposing closes the stores. */
export interface OpenedCluster extends AsyncDisposable {
  readonly settings: ClusterConfiguration
  /** In the order of the configuration; at least one. */
  readonly repositories: readonly [ClusterRepository, ...ClusterRepository[]]
}

export interface ClusterSelection extends RepositoryUse {
  readonly configuration: Configuration
  /** Undefined: the only one configured. */
  readonly clusterName: string | undefined
  /** Undefined: all repositories of the cluster. */
  readonly repoName: string | undefined
}

/** Opens the repositories of a cluster. Throws when one of them cannot be opened or does not know the cluster. */
export async function openCluster(
  { configuration, clusterName, repoName, ...use }: ClusterSelection,
  context: RunContext,
): Promise<OpenedCluster> {
  const settings = selectCluster(configuration, clusterName)
  await using opened = new AsyncDisposableStack()
  const open = async (repo: RepoConfiguration): Promise<ClusterRepository> => {
    const repository = opened.use(await openConfiguredRepository(repo, use, context))
    const cluster = await requireCluster(repository, settings.name, context)
    return { name: repo.name, repository, cluster, stateDirectory: configuration.stateDirectory }
  }
  const [first, ...others] = chooseRepos(configuration, settings, repoName)
  const repositories: [ClusterRepository, ...ClusterRepository[]] = [await open(first)]
  for (const repo of others) repositories.push(await open(repo))
  const owned = opened.move()
  return { settings, repositories, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** The configured repos of a cluster, or the one of that name. Throws when there is none. */
export function chooseRepos(
  configuration: Configuration,
  settings: ClusterConfiguration,
  repoName: string | undefined,
): readonly [RepoConfiguration, ...RepoConfiguration[]] {
  const repos = reposOfCluster(configuration, settings)
  const [first, ...others] = repoName === undefined ? repos : [selectAmong(repos, repoName)]
  if (first === undefined) throw noRepo(settings.name)
  return [first, ...others]
}

function selectAmong(repos: readonly RepoConfiguration[], name: string): RepoConfiguration {
  const repo = repos.find((candidate) => candidate.name === name)
  if (repo !== undefined) return repo
  throw new OperationError(
    'usage',
    `choosing a repo: expected one of ${repos.map((known) => `"${known.name}"`).join(', ')}, found "${name}"`,
    {
      hint: 'Name one of the repos that hold this cluster with --repo.',
    },
  )
}

function noRepo(cluster: string): OperationError {
  return new OperationError('usage', `opening cluster "${cluster}": no repo is configured for it`, {
    hint: 'Add one below "repos:" in the configuration file, or run "holdfast init".',
  })
}

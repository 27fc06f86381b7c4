import { clusterConnection, socketOf } from '../app/cluster-connection.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import type { LoadedConfiguration } from '../config/load-configuration.ts'
import {
  reposOfCluster,
  selectCluster,
  selectRepo,
  type ClusterConfiguration,
  type RepoConfiguration,
} from '../config/select-configured.ts'
import type { CommandEnvironment } from './command-environment.ts'
import { becomeClusterOwner } from './run-as.ts'

/**
 * Loads the configuration and chooses the repo that a command is about. Started as root it becomes the owner of the
 * cluster that the repo holds, to whom its files belong; `--cluster` says which where it holds several.
 */
export async function loadForRepo(
  environment: CommandEnvironment,
): Promise<{ readonly loaded: LoadedConfiguration; readonly repo: RepoConfiguration }> {
  const loaded = await environment.loadConfiguration()
  const repo = selectRepo(loaded.configuration, environment.options.repo)
  if (process.geteuid?.() === 0) {
    const { runAs, dataDirectory, ...settings } = clusterIn(
      repo,
      loaded.configuration,
      environment.options.cluster,
    )
    const socket = socketOf(clusterConnection(settings, environment.surroundings.variables))
    await becomeClusterOwner({ runAs, dataDirectory, socket })
  }
  return { loaded, repo }
}

function clusterIn(
  repo: RepoConfiguration,
  configuration: Configuration,
  name: string | undefined,
): ClusterConfiguration {
  if (name !== undefined) return selectCluster(configuration, name)
  const holders = Object.keys(configuration.clusters)
    .map((cluster) => selectCluster(configuration, cluster))
    .filter((cluster) => reposOfCluster(configuration, cluster).some((held) => held.name === repo.name))
  const [only, ...others] = holders
  return only !== undefined && others.length === 0 ? only : selectCluster(configuration)
}

import { clusterConnection, socketOf } from '../app/cluster-connection.ts'
import type { LoadedConfiguration } from '../config/load-configuration.ts'
import { selectCluster } from '../config/select-configured.ts'
import type { CommandEnvironment } from './command-environment.ts'
import { becomeClusterOwner } from './run-as.ts'

/** Loads the configuration and, started as root, becomes the owner of the cluster that it is about. */
export async function loadAsOwner(environment: CommandEnvironment): Promise<LoadedConfiguration> {
  const loaded = await environment.loadConfiguration()
  const settings = selectCluster(loaded.configuration, environment.options.cluster)
  const socket = socketOf(clusterConnection(settings, environment.surroundings.variables))
  await becomeClusterOwner({ runAs: settings.runAs, dataDirectory: settings.dataDirectory, socket })
  return loaded
}

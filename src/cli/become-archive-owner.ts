import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { clusterConnection, socketOf } from '../app/cluster-connection.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import { selectCluster } from '../config/select-configured.ts'
import type { CommandEnvironment } from './command-environment.ts'
import { becomeClusterOwner } from './run-as.ts'

/**
 * For the commands that PostgreSQL runs, when somebody tries them out as root: becomes the owner of the data directory
 * that the file at `path` is in or goes to, that of the working directory, or the configured one. What root made, in the
 * repository and in pg_wal, would stop the server's own archiving for good. Gives the path, absolute.
 */
export async function becomeArchiveOwner(
  path: string,
  configuration: Configuration,
  { options, surroundings }: CommandEnvironment,
): Promise<string> {
  const absolute = resolve(path)
  const settings = selectCluster(configuration, options.cluster)
  const near = [dirname(dirname(absolute)), process.cwd()].find(isDataDirectory)
  await becomeClusterOwner({
    runAs: settings.runAs,
    dataDirectory: near ?? settings.dataDirectory,
    socket: socketOf(clusterConnection(settings, surroundings.variables)),
  })
  return absolute
}

const isDataDirectory = (folder: string): boolean => existsSync(join(folder, 'PG_VERSION'))

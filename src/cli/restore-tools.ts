import { accessSync, constants } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { clusterConnection } from '../app/cluster-connection.ts'
import type { ClusterRepository } from '../app/open-cluster.ts'
import type { LoadedConfiguration } from '../config/load-configuration.ts'
import type { ClusterConfiguration } from '../config/select-configured.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { formatInstant } from '../domain/target-time.ts'
import type { RestoreTools } from '../restore/run-restore.ts'
import { localFolderOf } from '../storage/open-store.ts'
import type { CommandEnvironment } from './command-environment.ts'

interface Wanted extends Pick<LoadedConfiguration, 'configuration' | 'file'> {
  readonly settings: ClusterConfiguration
  readonly place: ClusterRepository
}

/** What a restore works with. Throws `config-missing` and `file-unreadable` when the server of a recovery could not read the archive. */
export async function restoreTools(
  { configuration, file, settings, place }: Wanted,
  environment: CommandEnvironment,
): Promise<RestoreTools> {
  const { variables, home } = environment.surroundings
  const configFile = requireReadable(file)
  return {
    place,
    workers: configuration.restore.workers,
    restoreCommand: await restoreCommandFor({
      cluster: settings.name,
      repo: place.name,
      configFile,
      ...(configuration.repoAsOf !== undefined && { repoAsOf: formatInstant(configuration.repoAsOf) }),
    }),
    binaries: {
      searchPath: variables['PATH'] ?? '',
      ...(settings.binDirectory !== undefined && { configured: settings.binDirectory }),
    },
    // Roles that may exist in the restored cluster, the likeliest first.
    roles: [...new Set([clusterConnection(settings, variables).user, 'postgres'])],
    forbidden: {
      repository: localFolderOf(place.repository.store.location),
      home,
      clusterDirectory: settings.dataDirectory,
    },
  }
}

/** The configuration file, which the server that recovers reads the archive by, as the user that we are now. */
function requireReadable(configFile: string | undefined): string {
  if (configFile === undefined) {
    throw new OperationError(
      'config-missing',
      'restoring: expected a configuration file, found only environment variables',
      {
        hint: 'Write one: the server that recovers reads the archive by it.',
      },
    )
  }
  const path = resolve(configFile)
  try {
    accessSync(path, constants.R_OK)
    return path
  } catch (error) {
    const who = `user ${process.geteuid?.() ?? ''}`
    throw new OperationError(
      'file-unreadable',
      `restoring: the server that recovers runs as ${who}, who cannot read the configuration ${quote(path)}`,
      {
        cause: error,
        hint: 'Give the file and its key files to the user that PostgreSQL runs as, with "chown".',
      },
    )
  }
}

interface Archive {
  readonly cluster: string
  /** Where the plan was made from. */
  readonly repo: string
  readonly configFile: string
  readonly repoAsOf?: string
}

async function restoreCommandFor(archive: Archive): Promise<RestoreTools['restoreCommand']> {
  const { renderRestoreCommand } = await import('../archive/archive-command.ts')
  const programPath = fileURLToPath(new URL('../../bin/holdfast', import.meta.url))
  const nodePath = process.execPath
  const parts = { nodePath, programPath, ...archive, mode: 'recovery' } as const
  return (spares) => renderRestoreCommand({ ...parts, spares })
}

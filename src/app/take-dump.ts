import { selectCluster, type ClusterConfiguration } from '../config/select-configured.ts'
import type { PostgresVersion } from '../domain/postgres-version.ts'
import type { RunContext } from '../domain/run-context.ts'
import { runDump, type DumpRequest, type RunDump } from '../logical/run-dump.ts'
import type { Spooling } from '../logical/spool.ts'
import type { Environment } from '../platform/environment.ts'
import { findClientPrograms, type ClientPrograms } from '../postgres/client-programs.ts'
import { connect } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { readServerVersion } from '../postgres/server-facts.ts'
import { clusterConnection } from './cluster-connection.ts'
import { expireAfterDump } from './expire-after-dump.ts'
import { keepRulesOf } from './expire-cluster.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import { renewRoots } from './renew-roots.ts'
import { copyDumpToOthers } from './copy-dump.ts'
import type { BackupCopy } from './copy-backup.ts'
import { chooseRepos, openCluster, type ClusterSelection } from './open-cluster.ts'

export interface TakeDumpRequest extends ClusterSelection, Omit<DumpRequest, 'conninfo'> {
  readonly variables: Environment
  /** Of the server that is dumped; undefined: the cluster's. */
  readonly conninfo?: Conninfo
  /** For the directory format. */
  readonly spooling?: Spooling | undefined
}

export interface TakenDump extends RunDump {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly durationMs: number
  /** The other repositories of the cluster. */
  readonly copies: readonly BackupCopy[]
}

/**
 * Takes a dump of a cluster's databases into the first of its repositories, or the one that is named; then expires dumps
 * there, when the rules want it, and copies it into the others.
 */
export async function takeDump(request: TakeDumpRequest, context: RunContext): Promise<TakenDump> {
  const startedAt = context.clock.monotonic()
  const { configuration, clusterName, repoName, variables } = request
  const settings = selectCluster(configuration, clusterName)
  const [{ name }] = chooseRepos(configuration, settings, repoName)
  await using opened = await openCluster({ configuration, clusterName, repoName: name }, context)
  const [place] = opened.repositories
  await readGuardedCatalogue(place, context)
  const conninfo = request.conninfo ?? clusterConnection(settings, variables)
  const { compressionLevel } = configuration.backup
  const { version, programs } = await programsFor({ conninfo, settings, variables }, context)
  const done = await runDump(
    { ...request, conninfo, excludedDatabases: settings.excludedDatabases },
    { place, version, programs, compressionLevel, spooling: request.spooling },
    context,
  )
  await rememberCatalogue(place, context)
  await renewRoots(place, context)
  const durationMs = context.clock.monotonic() - startedAt
  await expireAfterDump(keepRulesOf(configuration, settings).dumps, place, context)
  const copying = { configuration, clusterName, repoName, label: done.dump.label, from: place }
  const copies = await copyDumpToOthers(copying, context)
  return {
    ...done,
    cluster: settings.name,
    repo: name,
    location: place.repository.store.location,
    durationMs,
    copies,
  }
}

/** The version of a server, and client programs that fit it. */
export async function programsFor(
  {
    conninfo,
    settings: { binDirectory },
    variables,
  }: {
    readonly conninfo: Conninfo
    readonly settings: Pick<ClusterConfiguration, 'binDirectory'>
    readonly variables: Environment
  },
  context: RunContext,
): Promise<{ readonly version: PostgresVersion; readonly programs: ClientPrograms }> {
  await using session = await connect(conninfo, context)
  const version = await readServerVersion(session)
  const search = {
    searchPath: variables['PATH'] ?? '',
    ...(binDirectory !== undefined && { configured: binDirectory }),
  }
  return { version, programs: await findClientPrograms(version, search, context) }
}

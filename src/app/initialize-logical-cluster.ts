import { formatPostgresVersion } from '../domain/postgres-version.ts'
import type { RunContext } from '../domain/run-context.ts'
import { connect } from '../postgres/connection.ts'
import { readServerIdentity, type ServerIdentity } from '../postgres/server-facts.ts'
import { clusterConnection } from './cluster-connection.ts'
import { planConfiguration, writeConfiguration, type PlannedRepo } from './initial-configuration.ts'
import type { InitializeRequest, InitializedCluster } from './initialize-cluster.ts'
import { makeRepository } from './make-repository.ts'
import { refuseKeyInRepository } from './unsafe-places.ts'

/** What was decided for a cluster of which there will be dumps only. */
export interface LogicalPlan {
  readonly kind: 'logical'
  readonly request: InitializeRequest
  readonly identity: ServerIdentity
  readonly repo: PlannedRepo
  /** Undefined: the configuration is there and says what is wanted. */
  readonly newText: string | undefined
}

/** Asks the server who it is, which any role may, and refuses unsafe places. Changes nothing. A standby is as good as a primary. */
export async function planLogicalInitialization(
  request: InitializeRequest,
  context: RunContext,
): Promise<LogicalPlan> {
  await using session = await connect(clusterConnection(request, request.variables), context)
  const identity = await readServerIdentity(session)
  const { repo, newText } = await planConfiguration(request)
  refuseKeyInRepository(repo)
  return { kind: 'logical', request, identity, repo, newText }
}

/** Makes key, repository, the cluster in it, and the configuration, as for other clusters. The server is not touched. */
export async function applyLogicalInitialization(
  { request, identity, repo, newText }: LogicalPlan,
  context: RunContext,
): Promise<InitializedCluster> {
  const made = await makeRepository(repo, { name: request.cluster, facts: identity }, context)
  if (newText !== undefined) await writeConfiguration(request.configFile, newText)
  return {
    cluster: request.cluster,
    systemIdentifier: identity.systemIdentifier,
    serverVersion: formatPostgresVersion(identity.version),
    dataDirectory: undefined,
    configuration: { file: request.configFile, made: newText === undefined ? 'exists' : 'created' },
    ...made,
    settings: [],
    applied: [],
    statements: [],
    restart: undefined,
  }
}

import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { forgetAcknowledgements } from '../archive/repository-set.ts'
import { OperationError } from '../domain/operation-error.ts'
import { formatPostgresVersion } from '../domain/postgres-version.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Environment } from '../platform/environment.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import { readServerFacts, type ServerFacts } from '../postgres/server-facts.ts'
import { applyStatements, changeStatements, settingsToChange } from './apply-settings.ts'
import { clusterConnection } from './cluster-connection.ts'
import {
  applyLogicalInitialization,
  planLogicalInitialization,
  type LogicalPlan,
} from './initialize-logical-cluster.ts'
import {
  planConfiguration,
  writeConfiguration,
  type PlannedRepo,
  type WantedSetup,
} from './initial-configuration.ts'
import { makeRepository, type Made, type MadeRepository } from './make-repository.ts'
import { ownArchiveCommand, programPath } from './own-archive-command.ts'
import { restartCommand } from './restart-command.ts'
import { judgeSettings, readServerSettings, type SettingFinding } from './server-settings.ts'
import { refuseKeyInRepository, refuseRepositoryInCluster } from './unsafe-places.ts'

export interface InitializeRequest extends WantedSetup {
  readonly variables: Environment
  /** Changes the settings of the server through SQL. */
  readonly applies: boolean
  /** Also an archive_command that is somebody else's. */
  readonly replacesForeign: boolean
}

export interface InitializedCluster extends MadeRepository {
  readonly cluster: string
  readonly systemIdentifier: string
  readonly serverVersion: string
  /** Undefined for a cluster of dumps only. */
  readonly dataDirectory: string | undefined
  readonly configuration: { readonly file: string; readonly made: Made }
  /** As they are now, after what was applied. */
  readonly settings: readonly SettingFinding[]
  /** The names of the settings that were changed. */
  readonly applied: readonly string[]
  /** What still has to be run as SQL; empty when nothing has. */
  readonly statements: readonly string[]
  /** The command that restarts the server; undefined when no restart is due. */
  readonly restart: string | undefined
}

/** Everything that was decided before anything is made. */
export type InitializationPlan = PhysicalPlan | LogicalPlan

interface PhysicalPlan {
  readonly kind: 'physical'
  readonly request: InitializeRequest
  readonly facts: ServerFacts
  readonly repo: PlannedRepo
  /** Undefined: the configuration is there and says what is wanted. */
  readonly newText: string | undefined
  readonly archiveCommand: string
}

/** Looks at the server and the places, and refuses what must not be done. Changes nothing. */
export async function planInitialization(
  request: InitializeRequest,
  context: RunContext,
): Promise<InitializationPlan> {
  if (request.isLogicalOnly) return planLogicalInitialization(request, context)
  await using session = await connect(clusterConnection(request, request.variables), context)
  const facts = await readServerFacts(session)
  refuseStandby(facts, request.cluster)
  const { repo, newText } = await planConfiguration(request)
  refuseKeyInRepository(repo)
  refuseRepositoryInCluster(repo, facts)
  await warnIfUnreachable(context)
  const { configFile, cluster } = request
  const archiveCommand = ownArchiveCommand({ configFile, cluster })
  refuseForeign(judgeSettings(await readServerSettings(session), archiveCommand), request)
  return { kind: 'physical', request, facts, repo, newText, archiveCommand }
}

/**
 * Sets up the protection of one cluster: key, repository, the cluster in it, configuration, and what the server lacks.
 * What is there already and right is left as it is, so it can be run again, also after it was killed. The configuration
 * comes after what it names: when it is there, all of that is there.
 */
export async function applyInitialization(
  plan: InitializationPlan,
  context: RunContext,
): Promise<InitializedCluster> {
  if (plan.kind === 'logical') return applyLogicalInitialization(plan, context)
  const { request, facts, repo, newText, archiveCommand } = plan
  await using session = await connect(clusterConnection(request, request.variables), context)
  const made = await makeRepository(repo, { name: request.cluster, facts }, context)
  if (newText !== undefined) await writeConfiguration(request.configFile, newText)
  // What was archived ahead so far may not be in this repository.
  await forgetAcknowledgements(join(facts.dataDirectory, 'pg_wal'), context)

  const changed = request.applies ? await apply(session, { request, archiveCommand }, context) : []
  const settings = judgeSettings(await readServerSettings(session), archiveCommand)
  const isRestartDue = settings.some(({ state }) => state === 'restart-due')
  return {
    cluster: request.cluster,
    systemIdentifier: facts.systemIdentifier,
    serverVersion: formatPostgresVersion(facts.version),
    dataDirectory: facts.dataDirectory,
    configuration: { file: request.configFile, made: newText === undefined ? 'exists' : 'created' },
    ...made,
    settings,
    applied: changed.map(({ name }) => name),
    statements: remainingStatements(settings),
    restart: isRestartDue ? restartCommand(facts, request.binDirectory) : undefined,
  }
}

/** Where the data directory of a server is, for a root that does not know yet whom to become. */
export async function askForDataDirectory(
  request: Pick<InitializeRequest, 'connection' | 'passfile' | 'variables'>,
  context: RunContext,
): Promise<string> {
  await using session = await connect(clusterConnection(request, request.variables), context)
  return (await readServerFacts(session)).dataDirectory
}

function refuseStandby(facts: ServerFacts, cluster: string): void {
  if (!facts.isInRecovery) return
  throw new OperationError(
    'server-unsuitable',
    `setting up cluster "${cluster}": expected a primary, found a server in recovery`,
    { hint: 'Name the connection of the primary.' },
  )
}

/** Warns when the user that we are could not run the archive_command. */
async function warnIfUnreachable(context: RunContext): Promise<void> {
  try {
    await access(process.execPath, constants.X_OK)
    await access(programPath, constants.R_OK)
  } catch {
    context.report({
      kind: 'warning',
      message: `the user of the server may not run "${process.execPath}" with "${programPath}", so archiving will fail`,
      hint: 'Install holdfast where that user may read and run it.',
    })
  }
}

/** Replacing another tool's command would end its archive unnoticed. */
function refuseForeign(
  findings: readonly SettingFinding[],
  { applies, replacesForeign }: InitializeRequest,
): void {
  const foreign = findings.find(({ state }) => state === 'foreign')
  if (foreign === undefined || !applies || replacesForeign) return
  throw new OperationError(
    'not-confirmed',
    `applying the settings: the server archives in another way already, ${foreign.name} is ${quote(foreign.current)}`,
    {
      hint: 'Add --replace-archive-command to have it replaced; the other archive gets no WAL from then on.',
    },
  )
}

async function apply(
  session: PostgresSession,
  { request, archiveCommand }: { request: InitializeRequest; archiveCommand: string },
  context: RunContext,
): Promise<readonly SettingFinding[]> {
  const findings = judgeSettings(await readServerSettings(session), archiveCommand)
  const changes = settingsToChange(findings, request)
  if (changes.length > 0) await applyStatements(session, changeStatements(changes), context)
  return changes
}

function remainingStatements(settings: readonly SettingFinding[]): readonly string[] {
  const statements = changeStatements(settingsToChange(settings, { replacesForeign: true }))
  return statements.length === 0 ? [] : [...statements, 'SELECT pg_reload_conf()']
}

import { join } from 'node:path'
import { forgetBehind } from '../archive/repositories-behind.ts'
import { forgetAcknowledgements } from '../archive/repository-set.ts'
import { selectCluster } from '../config/select-configured.ts'
import type { LoadedConfiguration } from '../config/load-configuration.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Environment } from '../platform/environment.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import { readServerFacts, type ServerFacts } from '../postgres/server-facts.ts'
import { checkArchiving } from './check-archiving.ts'
import { checkCopies } from './check-copies.ts'
import { checkLogicalCluster } from './check-logical-cluster.ts'
import { checkWalLag } from './check-wal-lag.ts'
import { checkItems, failedItem, type CheckItem } from './check-item.ts'
import { checkRepository } from './check-repository.ts'
import { checkServer } from './check-server.ts'
import { clusterConnection } from './cluster-connection.ts'
import { ownArchiveCommand } from './own-archive-command.ts'
import { tryRepositories } from './try-repositories.ts'

export interface CheckRequest {
  readonly loaded: LoadedConfiguration
  readonly clusterName: string | undefined
  /** Undefined: all repositories of the cluster. */
  readonly repoName: string | undefined
  readonly variables: Environment
  /** How long a segment may take until it can be read back. */
  readonly timeoutMs: number
}

export interface CheckedCluster {
  readonly cluster: string
  readonly items: readonly CheckItem[]
}

/** Looks at everything that protects a cluster, from the connection to the place of the backups. One failure hides no other. */
export async function checkCluster(request: CheckRequest, context: RunContext): Promise<CheckedCluster> {
  const { loaded, clusterName } = request
  const settings = selectCluster(loaded.configuration, clusterName)
  if (settings.logicalOnly) return checkLogicalCluster(request, context)
  await using held = new AsyncDisposableStack()
  const server = await tryServer(request, held, context)
  const selection = { ...request, configuration: loaded.configuration }
  const repositories = await tryRepositories(selection, held, context)
  const opened = repositories.flatMap((repo) => ('opened' in repo ? [repo.opened] : []))
  const items: CheckItem[] = [
    { name: 'configuration', state: 'ok', message: loaded.file ?? 'from the environment' },
  ]
  const facts = 'facts' in server ? server.facts : undefined
  // Repositories may have come since: what was archived ahead before may not be in them.
  if (facts !== undefined) {
    const walFolder = join(facts.dataDirectory, 'pg_wal')
    await forgetAcknowledgements(walFolder, context)
    await forgetBehind(walFolder)
  }
  if ('facts' in server) {
    items.push(...(await checkItems('server', () => serverChecks(request, server, context), context)))
    const archiving = { ...server, repositories: opened, timeoutMs: request.timeoutMs }
    items.push(...(await checkItems('archiving', () => checkArchiving(archiving, context), context)))
  } else items.push(server.item)
  for (const repo of repositories) {
    if ('item' in repo) items.push(repo.item)
    else {
      const look = (): Promise<readonly CheckItem[]> => checkRepository({ ...repo, facts }, context)
      items.push(...(await checkItems(`repo ${repo.settings.name}`, look, context)))
    }
  }
  const tried = repositories.flatMap((repo) => ('opened' in repo ? [repo] : []))
  items.push(
    ...(await checkItems(
      'copies',
      () => checkCopies(tried, settings.dataDirectory ?? facts?.dataDirectory, context),
      context,
    )),
  )
  items.push(...(await checkItems('WAL lag', () => checkWalLag(opened, context), context)))
  return { cluster: settings.name, items }
}

interface ReachedServer {
  readonly session: PostgresSession
  readonly facts: ServerFacts
}

async function tryServer(
  { loaded, clusterName, variables }: CheckRequest,
  held: AsyncDisposableStack,
  context: RunContext,
): Promise<ReachedServer | { readonly item: CheckItem }> {
  try {
    const conninfo = clusterConnection(selectCluster(loaded.configuration, clusterName), variables)
    const session = held.use(await connect(conninfo, context))
    return { session, facts: await readServerFacts(session) }
  } catch (error) {
    context.signal.throwIfAborted()
    return { item: failedItem('connection', error) }
  }
}

async function serverChecks(
  { loaded, clusterName }: CheckRequest,
  server: ReachedServer,
  context: RunContext,
): Promise<readonly CheckItem[]> {
  const { name, dataDirectory } = selectCluster(loaded.configuration, clusterName)
  const { file } = loaded
  const archiveCommand =
    file === undefined ? undefined : ownArchiveCommand({ configFile: file, cluster: name })
  return checkServer({ ...server, dataDirectory, archiveCommand }, context)
}

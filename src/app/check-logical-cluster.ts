import { selectCluster } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { isSocketDirectory, type Conninfo } from '../postgres/conninfo.ts'
import type { CheckedCluster, CheckRequest } from './check-cluster.ts'
import { checkDumpCopies } from './check-copies.ts'
import { checkDumpRepository } from './check-dump-repository.ts'
import { checkDumpSource } from './check-dump-source.ts'
import { checkItems, type CheckItem } from './check-item.ts'
import { clusterConnection } from './cluster-connection.ts'
import { tryRepositories } from './try-repositories.ts'

/** `checkCluster` for a cluster of which there are dumps only: nothing about WAL, and whether all of it can be dumped. */
export async function checkLogicalCluster(
  { loaded, clusterName, repoName, variables }: CheckRequest,
  context: RunContext,
): Promise<CheckedCluster> {
  const { configuration, file } = loaded
  const settings = selectCluster(configuration, clusterName)
  await using held = new AsyncDisposableStack()
  const source = await checkDumpSource({ settings, variables }, context)
  const repositories = await tryRepositories({ configuration, clusterName, repoName }, held, context)
  const items: CheckItem[] = [
    { name: 'configuration', state: 'ok', message: `${file ?? 'from the environment'}, for dumps only` },
    ...source.items,
  ]
  for (const repo of repositories) {
    if ('item' in repo) items.push(repo.item)
    else {
      const look = (): Promise<readonly CheckItem[]> =>
        checkDumpRepository({ ...repo, identity: source.identity }, context)
      items.push(...(await checkItems(`repo ${repo.settings.name}`, look, context)))
    }
  }
  const tried = repositories.flatMap((repo) => ('opened' in repo ? [repo] : []))
  const look = (): Promise<readonly CheckItem[]> =>
    checkDumpCopies(tried, mediumOf(clusterConnection(settings, variables)), context)
  items.push(...(await checkItems('copies', look, context)))
  return { cluster: settings.name, items }
}

const loopback = /^(localhost|127\.|::1$)/

/** Of a server that is not this machine. */
function mediumOf({ host, hostaddr }: Conninfo): string | undefined {
  return isSocketDirectory(host) || loopback.test(hostaddr ?? host) ? undefined : `server ${host}`
}

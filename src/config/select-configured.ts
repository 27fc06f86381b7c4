import { parseClusterName, parseRepoName } from '../domain/cluster-name.ts'
import type { ClusterName, RepoName } from '../domain/cluster-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { Instant } from '../domain/target-time.ts'
import type { Configuration } from './configuration-schema.ts'
import { nearestName } from './nearest-name.ts'

export type ClusterConfiguration = Configuration['clusters'][ClusterName] & { readonly name: ClusterName }
export type RepoConfiguration = Configuration['repos'][RepoName] & {
  readonly name: RepoName
  /** The moment as of which it is read; undefined: now. */
  readonly asOf?: Instant | undefined
}

/** The cluster of that name, or the only one when no name is given. Otherwise a usage error that lists the names. */
export function selectCluster(configuration: Configuration, name?: string): ClusterConfiguration {
  const [found, settings] = select({ kind: 'cluster', among: configuration.clusters, name })
  return { ...settings, name: parseClusterName(found) }
}

/** The repo of that name, or the only one when no name is given. Otherwise a usage error that lists the names. */
export function selectRepo(configuration: Configuration, name?: string): RepoConfiguration {
  const [found, settings] = select({ kind: 'repo', among: configuration.repos, name })
  return { ...settings, name: parseRepoName(found), asOf: configuration.repoAsOf }
}

/** The repos that hold a cluster, in the order in which it names them: all that are configured when it names none. */
export function reposOfCluster(
  configuration: Configuration,
  cluster: ClusterConfiguration,
): readonly RepoConfiguration[] {
  const names = cluster.repos ?? Object.keys(configuration.repos)
  return names.map((name) => selectRepo(configuration, name))
}

interface Selection<T> {
  readonly kind: 'cluster' | 'repo'
  readonly among: Readonly<Record<string, T>>
  readonly name: string | undefined
}

function select<T>({ kind, among, name }: Selection<T>): readonly [string, T] {
  const names = Object.keys(among)
  const wanted = name ?? (names.length === 1 ? names[0] : undefined)
  if (wanted === undefined) throw undecided(kind, names)
  const selected = Object.entries(among).find(([key]) => key === wanted)
  if (selected === undefined) throw unknown(kind, wanted, names)
  return selected
}

function undecided(kind: string, names: readonly string[]): OperationError {
  if (names.length === 0) {
    return new OperationError('usage', `choosing a ${kind}: expected one in the configuration, found none`, {
      hint: `Add one below "${kind}s:" in the configuration file, or run "holdfast init".`,
    })
  }
  const found = names.map(quote).join(', ')
  return new OperationError(
    'usage',
    `choosing a ${kind}: expected --${kind}, found several configured: ${found}`,
    {
      hint: `Name one of them with --${kind}.`,
    },
  )
}

function unknown(kind: string, wanted: string, names: readonly string[]): OperationError {
  const known = names.length === 0 ? 'none' : names.map(quote).join(', ')
  const message = `choosing a ${kind}: expected one of the configured ones (${known}), found ${quote(wanted)}`
  const near = nearestName(wanted, names)
  return new OperationError('usage', message, {
    hint: near === undefined ? `Name a configured one with --${kind}.` : `Did you mean "${near}"?`,
  })
}

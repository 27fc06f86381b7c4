import { reposOfCluster, selectCluster, type RepoConfiguration } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { FeedingStore } from '../transfer/feeding-store.ts'
import { PackFeed } from '../transfer/pack-feed.ts'
import { runTransfer } from '../transfer/run-transfer.ts'
import { expireAfterBackup } from './expire-after-backup.ts'
import { keepRulesOf } from './expire-cluster.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'
import { renewRoots } from './renew-roots.ts'

/** A repository that a backup or a dump was to be copied to. */
export interface BackupCopy {
  readonly repo: string
  /** Undefined when it could not be opened. */
  readonly location: string | undefined
  readonly storedBytes: number
  /** Why it does not have it; undefined: it has. */
  readonly failure: unknown
}

interface Copying {
  readonly from: ClusterRepository
  readonly to: ClusterRepository
  /** What the feed has stored there. */
  readonly known: PackFeed['known']
}

interface Follower {
  readonly place: ClusterRepository
  readonly feed: PackFeed
}

/**
 * The other repositories of a cluster while a backup is taken into the first: they get its packs out of memory, and what else
 * they lack when it is complete. One that is slow, full or gone neither delays the backup nor fails it.
 */
export class Followers implements AsyncDisposable {
  readonly #selection: ClusterSelection
  readonly #owned: AsyncDisposableStack
  readonly #followers: readonly Follower[]
  readonly #failures: readonly BackupCopy[]

  /** Use `openFollowers`. */
  constructor(
    selection: ClusterSelection,
    owned: AsyncDisposableStack,
    found: { readonly followers: readonly Follower[]; readonly failures: readonly BackupCopy[] },
  ) {
    this.#selection = selection
    this.#owned = owned
    this.#followers = found.followers
    this.#failures = found.failures
  }

  /** The repository as the backup is to be given it. */
  feedingFrom(first: ClusterRepository): ClusterRepository {
    if (this.#followers.length === 0) return first
    const store = new FeedingStore(first.repository.store, (key, bytes) => {
      for (const { feed } of this.#followers) feed.offer(key, bytes)
    })
    return { ...first, repository: { ...first.repository, store } }
  }

  /** Copies what a complete backup consists of and they lack. Says of each how that went. */
  async complete(
    backup: BackupEntry,
    from: ClusterRepository,
    context: RunContext,
  ): Promise<readonly BackupCopy[]> {
    const copies: BackupCopy[] = [...this.#failures]
    for (const { place, feed } of this.#followers) {
      await feed.settle()
      copies.push(await this.#copy(backup, { from, to: place, known: feed.known }, context))
    }
    return copies
  }

  /** Removes what they have of a backup that failed. */
  async discard(): Promise<void> {
    await Promise.all(this.#followers.map(({ feed }) => feed.discard()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync()
  }

  async #copy(
    { label }: BackupEntry,
    { from, to, known }: Copying,
    context: RunContext,
  ): Promise<BackupCopy> {
    const copy = { repo: to.name, location: to.repository.store.location, storedBytes: 0 }
    try {
      await readGuardedCatalogue(to, context)
      const request = { wanted: [label], damaged: [], known, isDryRun: false }
      const { copied, failures } = await runTransfer(request, { from, to }, context)
      await rememberCatalogue(to, context)
      await renewRoots(to, context)
      if (failures[0] !== undefined) return { ...copy, failure: failures[0].error }
      const { configuration, clusterName } = this.#selection
      await expireAfterBackup(
        keepRulesOf(configuration, selectCluster(configuration, clusterName)),
        to,
        context,
      )
      return { ...copy, storedBytes: copied[0]?.storedBytes ?? 0, failure: undefined }
    } catch (error) {
      context.signal.throwIfAborted()
      return { ...copy, failure: error }
    }
  }
}

/** None when the repository was named, or the configuration wants none. */
export async function openFollowers(
  selection: ClusterSelection,
  first: ClusterRepository,
  context: RunContext,
): Promise<Followers> {
  await using opened = new AsyncDisposableStack()
  const [followers, failures]: [Follower[], BackupCopy[]] = [[], []]
  for (const repo of otherRepos(selection, first)) {
    try {
      followers.push(await follow(repo, { selection, first, opened }, context))
    } catch (failure) {
      context.signal.throwIfAborted()
      failures.push({ repo: repo.name, location: undefined, storedBytes: 0, failure })
    }
  }
  return new Followers(selection, opened.move(), { followers, failures })
}

/** The repos that what goes into the first one is copied to. */
export function otherRepos(
  { configuration, clusterName, repoName }: ClusterSelection,
  first: Pick<ClusterRepository, 'name'>,
): readonly RepoConfiguration[] {
  const isAlone = repoName !== undefined || !configuration.backup.copyToAll
  const repos = isAlone ? [] : reposOfCluster(configuration, selectCluster(configuration, clusterName))
  return repos.filter(({ name }) => name !== first.name)
}

async function follow(
  repo: RepoConfiguration,
  {
    selection,
    first,
    opened,
  }: {
    readonly selection: ClusterSelection
    readonly first: ClusterRepository
    readonly opened: AsyncDisposableStack
  },
  context: RunContext,
): Promise<Follower> {
  const { configuration, clusterName } = selection
  const one = { configuration, clusterName, repoName: repo.name }
  const { repositories } = opened.use(await openCluster(one, context))
  const [place] = repositories
  return { place, feed: opened.use(new PackFeed({ from: first, to: place }, context)) }
}

import type { CopyDocument } from '../api/copy-document.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import { reposOfCluster, selectCluster, type RepoConfiguration } from '../config/select-configured.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { ensureCluster, requireCluster, type ClusterRecord } from '../repository/cluster-record.ts'
import { requireListed } from '../transfer/plan-transfer.ts'
import { runTransfer, type TransferResult } from '../transfer/run-transfer.ts'
import { expandDamage } from '../verify/condense-damage.ts'
import { recallVerify } from './describe-cluster.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import type { ClusterRepository } from './open-cluster.ts'
import { renewRoots } from './renew-roots.ts'
import { openConfiguredRepository } from './open-configured-repository.ts'

export interface CopyRequest {
  readonly configuration: Configuration
  /** Undefined: the only one configured. */
  readonly clusterName: string | undefined
  /** Undefined: the first repo of the cluster. */
  readonly from: string | undefined
  /** None: all other repos of the cluster. */
  readonly to: readonly string[]
  /** Of backups and dumps; none: all that are lacking. */
  readonly labels: readonly string[]
  /** Whether what `verify` found damaged there is replaced by what is good here. */
  readonly isRepair: boolean
  readonly isDryRun: boolean
}

interface CopiedRepo {
  readonly name: string
  readonly location: string
  readonly result: TransferResult
}

export interface CopiedCluster {
  readonly cluster: string
  readonly from: { readonly name: string; readonly location: string }
  readonly repos: readonly CopiedRepo[]
  /** Repositories that nothing, or not all, could be copied to: one that fails does not keep the others from it. */
  readonly failures: readonly { readonly name: string; readonly error: unknown }[]
}

/**
 * Copies from one repository of a cluster into others what they lack. A repository that does not know the cluster yet gets to
 * know it. Throws `usage` when there are not two repositories to copy between.
 */
export async function copyRepository(request: CopyRequest, context: RunContext): Promise<CopiedCluster> {
  const { configuration, clusterName, isDryRun } = request
  const wanted = request.labels.map(parseBackupLabel)
  const settings = selectCluster(configuration, clusterName)
  const { source, targets } = chooseBetween(request, reposOfCluster(configuration, settings))
  await using from = await openPlace(source, { configuration, name: settings.name }, context)
  const listed = await readGuardedCatalogue(from, context)
  for (const label of wanted) requireListed(label, listed) // before another repository is touched
  const repos: CopiedRepo[] = []
  const failures: CopiedCluster['failures'][number][] = []
  for (const target of targets) {
    try {
      const like = isDryRun ? undefined : from.cluster
      // Only what is copied from is seen as it was.
      const present = { ...target, asOf: undefined }
      await using to = await openPlace(present, { configuration, name: settings.name, like }, context)
      await readGuardedCatalogue(to, context)
      const damaged = await findDamaged(to, request, context)
      const result = await runTransfer({ wanted, damaged, isDryRun }, { from, to }, context)
      if (!isDryRun) {
        await rememberCatalogue(to, context)
        await renewRoots(to, context)
      }
      repos.push({ name: target.name, location: to.repository.store.location, result })
    } catch (error) {
      context.signal.throwIfAborted()
      failures.push({ name: target.name, error })
    }
  }
  const location = from.repository.store.location
  return { cluster: settings.name, from: { name: source.name, location }, repos, failures }
}

/** The objects that `verify` found damaged, if they are to be repaired; else it is said that they could be. */
async function findDamaged(
  place: ClusterRepository,
  { isRepair, isDryRun }: CopyRequest,
  context: RunContext,
): Promise<readonly string[]> {
  const known = (await recallVerify(place, context))?.damage ?? []
  const keys = known.flatMap(expandDamage).map(({ key }) => key)
  if (keys.length > 0 && (isDryRun || !isRepair)) {
    context.report({
      kind: 'warning',
      message: `repo ${quote(place.name)}: verify found ${keys.length} damaged ${keys.length === 1 ? 'object' : 'objects'} there`,
      hint: 'Run "holdfast repo copy --repair" to replace what is good in the other repository.',
    })
  }
  return isRepair ? keys : []
}

function chooseBetween(
  { from, to }: CopyRequest,
  repos: readonly RepoConfiguration[],
): { readonly source: RepoConfiguration; readonly targets: readonly RepoConfiguration[] } {
  const find = (name: string): RepoConfiguration => {
    const repo = repos.find((candidate) => candidate.name === name)
    if (repo !== undefined) return repo
    throw new OperationError(
      'usage',
      `choosing a repo: expected one of ${repos.map(({ name: known }) => quote(known)).join(', ')}, found ${quote(name)}`,
      { hint: 'Name a repo of this cluster with --from and --to.' },
    )
  }
  const [first] = repos
  const source = from === undefined ? first : find(from)
  const targets = to.length === 0 ? repos.filter((repo) => repo !== source) : to.map(find)
  if (source !== undefined && targets.length > 0 && !targets.includes(source)) return { source, targets }
  throw new OperationError(
    'usage',
    `choosing repos to copy between: expected two, found ${repos.length < 2 ? repos.length : 'one twice'}`,
    { hint: 'Add a second one below "repos:" in the configuration file and run "holdfast init".' },
  )
}

interface PlaceOptions {
  readonly configuration: Configuration
  readonly name: string
  /** Which cluster it becomes if the repository does not know it; undefined: that is an error. */
  readonly like?: ClusterRecord | undefined
}

async function openPlace(
  repo: RepoConfiguration,
  { configuration, name, like }: PlaceOptions,
  context: RunContext,
): Promise<ClusterRepository & AsyncDisposable> {
  await using opened = new AsyncDisposableStack()
  const repository = opened.use(await openConfiguredRepository(repo, {}, context))
  const cluster =
    like === undefined
      ? await requireCluster(repository, name, context)
      : await ensureCluster(repository, like, context)
  const { stateDirectory } = configuration
  const owned = opened.move()
  return {
    name: repo.name,
    repository,
    cluster,
    stateDirectory,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** What was copied, as programs are told of it. */
export function listCopied({ cluster, from, repos, failures }: CopiedCluster, dryRun: boolean): CopyDocument {
  return {
    version: 1,
    cluster,
    dryRun,
    from,
    repos: repos.map(({ name, location, result }) => ({
      name,
      location,
      backups: result.copied,
      dumps: result.dumps,
      forgotten: result.forgotten,
      otherBackups: result.twins,
      walFiles: result.wal.count,
      walBytes: result.wal.bytes,
      repaired: result.repaired,
      nameLists: result.nameLists,
      failures: result.failures.map(({ subject, error }) => ({ subject, message: error.message })),
    })),
    failures: failures.map(({ name, error }) => ({
      name,
      message: error instanceof Error ? error.message : String(error),
    })),
  }
}

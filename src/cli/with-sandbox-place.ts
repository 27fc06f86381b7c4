import type { ClusterRepository } from '../app/open-cluster.ts'
import type { ClusterConfiguration } from '../config/select-configured.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { parseRecoveryTarget, type RecoveryTarget } from '../domain/recovery-target.ts'
import type { Sandbox, SandboxRequest } from '../sandbox/open-sandbox.ts'
import type { NeededTables } from '../sandbox/choose-left-out.ts'
import type { TableSandbox } from '../sandbox/open-table-sandbox.ts'
import { loadAsOwner } from './become-owner.ts'
import type { CommandEnvironment } from './command-environment.ts'
import { sandboxParent } from './sandbox-parent.ts'
import type { SandboxOptions } from './target-options.ts'

interface Wanted {
  readonly options: SandboxOptions
  readonly isReadOnly: boolean
  /** Default: it is promoted. */
  readonly isPaused?: boolean
  /** Whether one repository is to prove what it is good for by itself. */
  readonly isAlone?: boolean
  /** Default: what the options say. */
  readonly chooseTarget?: (place: ClusterRepository) => Promise<RecoveryTarget>
}

/** The repository that a sandbox comes from, and how to open it there. */
export interface SandboxPlace {
  readonly place: ClusterRepository
  readonly settings: ClusterConfiguration
  readonly target: RecoveryTarget
  readonly open: (onPlanned?: SandboxRequest['onPlanned']) => Promise<Sandbox>
  /** With as few files as these tables need, where that is possible. */
  readonly openForTables: (needed: NeededTables) => Promise<TableSandbox>
}

/** Opens what a sandbox needs, under a lease that keeps what it restores. Whoever opens the sandbox disposes it. */
export async function withSandboxPlace<Result>(
  { options, isReadOnly, isPaused = false, isAlone = false, chooseTarget }: Wanted,
  environment: CommandEnvironment,
  work: (place: SandboxPlace) => Promise<Result>,
): Promise<Result> {
  const asked = parseRecoveryTarget(options)
  const backup = options.backup === undefined ? undefined : parseBackupLabel(options.backup)
  const { configuration, file } = await loadAsOwner(environment)
  const [
    { selectCluster },
    { loadInstead, requirePhysical },
    { openFirstPlace },
    { guardRestore },
    { holdRestoreLease },
    { openSandbox },
    { restoreTools },
    { spareRepositories },
  ] = await Promise.all([
    import('../config/select-configured.ts'),
    import('../config/require-physical.ts'),
    import('../app/open-archive-places.ts'),
    import('../app/guarded-catalogue.ts'),
    import('../restore/hold-restore-lease.ts'),
    import('../sandbox/open-sandbox.ts'),
    import('./restore-tools.ts'),
    import('../app/spare-repositories.ts'),
  ])
  const { context } = environment
  const settings = selectCluster(configuration, environment.options.cluster)
  requirePhysical(settings, { doing: 'opening a throw-away server on', hint: loadInstead })
  const selection = { configuration, clusterName: settings.name, repoName: environment.options.repo }
  const acceptsOlder = options.acceptOlderRepository === true
  const guard = (candidate: ClusterRepository): Promise<void> =>
    guardRestore(candidate, acceptsOlder, context)
  await using opened = await openFirstPlace(selection, guard, context)
  const [first] = opened.repositories
  await using others = spareRepositories(
    { ...selection, ...(isAlone && { repoName: first.name }) },
    first,
    context,
  )
  const { place } = others
  const own = await restoreTools({ configuration, file, settings, place }, environment)
  const tools = { ...own, spares: others.packs }
  const parent = await sandboxParent(options.sandboxDirectory, configuration)
  await using held = new AsyncDisposableStack()
  held.use(await holdRestoreLease(place, context))
  const target = chooseTarget === undefined ? asked : await chooseTarget(place)
  const request = { parent, backup, target, isReadOnly, isPaused }
  const open: SandboxPlace['open'] = (onPlanned) =>
    openSandbox({ ...request, ...(onPlanned && { onPlanned }) }, tools, context)
  const openForTables = async (needed: NeededTables): Promise<TableSandbox> => {
    const { openTableSandbox } = await import('../sandbox/open-table-sandbox.ts')
    return openTableSandbox({ ...request, needed }, tools, context)
  }
  return await work({ place, settings, target, open, openForTables })
}

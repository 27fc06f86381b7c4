import { join } from 'node:path'
import type { ClusterRepository } from '../app/open-cluster.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { parseRecoveryTarget } from '../domain/recovery-target.ts'
import type { Sandbox } from '../sandbox/open-sandbox.ts'
import { loadAsOwner } from './become-owner.ts'
import type { CommandEnvironment } from './command-environment.ts'
import type { TargetOptions } from './target-options.ts'

export interface SandboxOptions extends TargetOptions {
  readonly sandboxDirectory?: string
  readonly acceptOlderRepository?: true
}

interface Wanted {
  readonly options: SandboxOptions
  readonly isReadOnly: boolean
}

/** Opens a sandbox at the moment that the options say, works with it, and removes it. */
export async function withSandbox<Result>(
  { options, isReadOnly }: Wanted,
  environment: CommandEnvironment,
  work: (sandbox: Sandbox) => Promise<Result>,
): Promise<Result> {
  const target = parseRecoveryTarget(options)
  const backup = options.backup === undefined ? undefined : parseBackupLabel(options.backup)
  const { configuration, file } = await loadAsOwner(environment)
  const [
    { selectCluster },
    { openFirstPlace },
    { guardRestore },
    { holdRestoreLease },
    { openSandbox },
    { restoreTools },
  ] = await Promise.all([
    import('../config/select-configured.ts'),
    import('../app/open-archive-places.ts'),
    import('../app/guarded-catalogue.ts'),
    import('../restore/hold-restore-lease.ts'),
    import('../sandbox/open-sandbox.ts'),
    import('./restore-tools.ts'),
  ])
  const { context } = environment
  const settings = selectCluster(configuration, environment.options.cluster)
  const selection = { configuration, clusterName: settings.name, repoName: environment.options.repo }
  const acceptsOlder = options.acceptOlderRepository === true
  const guard = (candidate: ClusterRepository): Promise<void> =>
    guardRestore(candidate, acceptsOlder, context)
  await using opened = await openFirstPlace(selection, guard, context)
  const [place] = opened.repositories
  const tools = await restoreTools({ configuration, file, settings, place }, environment)
  const parent =
    options.sandboxDirectory ?? configuration.sandboxDirectory ?? (await usualParent(configuration))
  await using stack = new AsyncDisposableStack()
  stack.use(await holdRestoreLease(place, context))
  const sandbox = stack.use(await openSandbox({ parent, backup, target, isReadOnly }, tools, context))
  return await work(sandbox)
}

async function usualParent({
  stateDirectory,
}: {
  readonly stateDirectory?: string | undefined
}): Promise<string> {
  const { findStateDirectories } = await import('../app/state-directory.ts')
  const [folder] = await findStateDirectories(stateDirectory)
  if (folder !== undefined) return join(folder, 'sandbox')
  throw new OperationError(
    'config-missing',
    'choosing where to restore to: expected a directory, found none that is ours',
    {
      hint: 'Name one with "--sandbox-directory", or with the setting "sandbox-directory".',
    },
  )
}

import { existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Option } from 'commander'
import type { Command } from 'commander'
import type { ClusterRepository } from '../../app/open-cluster.ts'
import type { ClusterConfiguration } from '../../config/select-configured.ts'
import { parseBackupLabel } from '../../domain/backup-label.ts'
import { OperationError } from '../../domain/operation-error.ts'
import { quote } from '../../domain/quote.ts'
import { parseRecoveryTarget } from '../../domain/recovery-target.ts'
import {
  splitTablespaceMapping,
  type RestoreRequest,
  type TablespaceMapping,
} from '../../restore/restore-request.ts'
import type { RestorePlan } from '../../restore/plan-restore.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { confirmName } from '../confirm-name.ts'
import { addTargetOptions, type TargetOptions } from '../target-options.ts'

interface RestoreOptions extends TargetOptions {
  readonly targetDir: string
  readonly delta?: true
  readonly tablespaceMap: readonly TablespaceMapping[]
  readonly filesOnly?: true
  readonly continueLineage?: true
  readonly acceptOlderRepository?: true
  readonly dryRun?: true
  readonly confirm?: string
  readonly targetAction?: string
}

/** `restore`: plans, refuses early, restores the files, recovers to the target, checks what was reached. */
export function registerRestore(program: Command, environment: CommandEnvironment): void {
  const command = program
    .command('restore')
    .description('restore a backup and recover it to any moment')
    .requiredOption('--target-dir <dir>', 'the data directory to restore into')
  addTargetOptions(command)
    .option('--target-action <action>', 'what to do there: promote, pause or shutdown (default: promote)')
    .option('--delta', 'bring a copy of the same cluster in the directory to the state of the backup')
    .option(
      '--tablespace-map <name=dir>',
      'where a tablespace goes, by name or OID; may be repeated',
      addMapping,
      [],
    )
    .option('--files-only', 'restore the files and leave recovery to you')
    .option('--continue-lineage', 'let the restored cluster archive as the cluster that it was restored from')
    .option(
      '--accept-older-repository',
      'restore also when the repository is older than what this host has seen of it',
    )
    .addOption(new Option('--dry-run', 'print the plan and change nothing'))
    .option('--confirm <name>', 'the name of the cluster, to overwrite a copy of it')
    .action((options: RestoreOptions) => restore(options, environment))
}

async function restore(options: RestoreOptions, environment: CommandEnvironment): Promise<void> {
  const request = toRequest(options)
  const { configuration, file } = await environment.loadConfiguration()
  const [
    { selectCluster },
    { loadInstead, requirePhysical },
    { becomeClusterOwner },
    { clusterConnection, socketOf },
  ] = await Promise.all([
    import('../../config/select-configured.ts'),
    import('../../config/require-physical.ts'),
    import('../run-as.ts'),
    import('../../app/cluster-connection.ts'),
  ])
  const settings = selectCluster(configuration, environment.options.cluster)
  requirePhysical(settings, { doing: 'restoring', hint: loadInstead })
  const connection = clusterConnection(settings, environment.surroundings.variables)
  const dataDirectory = ownedDirectory(request, settings)
  await becomeClusterOwner({ runAs: settings.runAs, dataDirectory, socket: socketOf(connection) })
  const [
    { openFirstPlace },
    { restoreTools },
    { spareRepositories },
    { guardRestore },
    { prepareRestore, runRestore },
    { holdRestoreLease },
    { planAnswer, resultAnswer },
  ] = await Promise.all([
    import('../../app/open-archive-places.ts'),
    import('../restore-tools.ts'),
    import('../../app/spare-repositories.ts'),
    import('../../app/guarded-catalogue.ts'),
    import('../../restore/run-restore.ts'),
    import('../../restore/hold-restore-lease.ts'),
    import('../output/restore.ts'),
  ])
  const selection = { configuration, clusterName: settings.name, repoName: environment.options.repo }
  const acceptsOlder = options.acceptOlderRepository === true
  const guard = (candidate: ClusterRepository): Promise<void> =>
    guardRestore(candidate, acceptsOlder, environment.context)
  await using opened = await openFirstPlace(selection, guard, environment.context)
  await using others = spareRepositories(selection, opened.repositories[0], environment.context)
  const { place } = others
  const own = await restoreTools({ configuration, file, settings, place }, environment)
  const tools = { ...own, spares: others.packs }
  if (options.dryRun === true) {
    const prepared = await prepareRestore(request, tools, environment.context)
    const { previewRestore } = await import('../../app/preview-restore.ts')
    environment.answer(planAnswer(prepared.plan, await previewRestore(prepared, environment.context)))
    return
  }
  await using held = new AsyncDisposableStack()
  held.use(await holdRestoreLease(place, environment.context))
  const prepared = await prepareRestore(request, tools, environment.context)
  await confirmOverwriting(prepared.plan, { expected: settings.name, given: options.confirm }, environment)
  environment.answer(resultAnswer(await runRestore(prepared, tools, environment.context)))
}

function toRequest(options: RestoreOptions): RestoreRequest {
  return {
    targetDirectory: resolve(options.targetDir),
    backup: options.backup === undefined ? undefined : parseBackupLabel(options.backup),
    target: parseRecoveryTarget(options),
    isDelta: options.delta === true,
    tablespaceMap: options.tablespaceMap,
    isFilesOnly: options.filesOnly === true,
    continuesLineage: options.continueLineage === true,
  }
}

function addMapping(text: string, earlier: readonly TablespaceMapping[]): readonly TablespaceMapping[] {
  const mapping = splitTablespaceMapping(text)
  if (mapping !== undefined) return [...earlier, mapping]
  throw new OperationError(
    'usage',
    `reading --tablespace-map: expected NAME=DIR with an absolute directory, found ${quote(text)}`,
    {
      hint: 'Write the name or the OID of the tablespace, "=", and where it goes.',
    },
  )
}

/** Whose files the restored ones shall be: the target's owner, the cluster's, or whoever owns the place above the target. */
function ownedDirectory(
  { targetDirectory }: RestoreRequest,
  { dataDirectory }: ClusterConfiguration,
): string | undefined {
  const above: string[] = []
  for (let folder = targetDirectory; folder !== '/'; folder = dirname(folder)) above.push(folder)
  const nearest = above.find((folder) => existsSync(folder))
  const candidates = [targetDirectory, dataDirectory, nearest].filter((folder) => folder !== undefined)
  return candidates.find((folder) => (statSync(folder, { throwIfNoEntry: false })?.uid ?? 0) !== 0)
}

/** Overwriting a cluster needs its name, typed on a terminal or given as an option. */
async function confirmOverwriting(
  { places, request }: RestorePlan,
  { expected, given }: { expected: string; given: string | undefined },
  environment: CommandEnvironment,
): Promise<void> {
  if (!places.some(({ state }) => state === 'occupied')) return
  const directory = quote(request.targetDirectory)
  const doing = `restoring over the cluster in ${directory}`
  const warning = `Everything in ${directory} may be overwritten.`
  await confirmName({ doing, warning, expected, given }, environment)
}

import { join, resolve } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import { prefetchFolder } from '../../archive/archive-command.ts'
import type { OpenedPlaces } from '../../app/open-archive-places.ts'
import type { Configuration } from '../../config/configuration-schema.ts'
import { classifyArchiveFileName } from '../../domain/archive-file-name.ts'
import { OperationError } from '../../domain/operation-error.ts'
import type { RunContext } from '../../domain/run-context.ts'
import { orAbandon } from '../../platform/or-abandon.ts'
import { closeInTime } from '../close-in-time.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { limitTime } from '../limit-time.ts'
import { ownPath } from '../own-path.ts'

interface GetOptions extends SpareOptions {
  readonly mode: 'recovery' | 'standby'
  readonly absentCode: number
  readonly prefetch?: true
}

/** What a restore has planned with besides the repository that `--repo` names. */
interface SpareOptions {
  readonly spare: readonly string[]
  readonly mixed: boolean
}

interface GetRequest {
  readonly name: string
  readonly path: string
  readonly absentCode: number
  readonly spareOptions: SpareOptions
}

/**
 * `archive-get NAME PATH`, which PostgreSQL runs as its restore_command. Exit code 0: the file is there, verified; 1: it
 * is proven absent, from the repository that `--repo` names or else from all of the cluster's. Everything that fails
 * leaves through `failureExitCode`, which knows what PostgreSQL makes of it.
 */
export function registerArchiveGet(program: Command, environment: CommandEnvironment): void {
  program
    .command('archive-get')
    .description('fetch one archived WAL file; for restore_command, with %f and %p')
    .argument('<name>', 'the name of the file')
    .argument('<path>', 'where to put it')
    .addOption(
      new Option('--mode <mode>', 'what runs this: a server that recovers, or a standby')
        .choices(['recovery', 'standby'])
        .default('recovery'),
    )
    .addOption(
      // 1 is what PostgreSQL takes for "this file does not exist", in recovery the end of the WAL (M1).
      new Option('--absent-code <code>', 'the exit code for what is proven absent')
        .argParser(toExitCode)
        .default(1)
        .hideHelp(),
    )
    .addOption(new Option('--prefetch', 'fetch what comes after NAME, for pg_wal at PATH').hideHelp())
    .addOption(
      new Option('--spare <names>', 'repositories to take from what is damaged in the one of --repo')
        .argParser((text) => text.split(','))
        .default([])
        .hideHelp(),
    )
    .addOption(
      new Option('--mixed', 'whether to take from them what it lacks, too').default(false).hideHelp(),
    )
    .action((name: string, path: string, { prefetch, absentCode, spare, mixed }: GetOptions) => {
      const request = { name, path, absentCode, spareOptions: { spare, mixed } }
      return prefetch === true ? fetchAhead(request, environment) : get(request, environment)
    })
}

function toExitCode(text: string): number {
  const code = Number(text)
  if (Number.isInteger(code) && code >= 1 && code <= 125) return code
  throw new InvalidArgumentError('Expected a whole number from 1 to 125.')
}

async function get(
  { name, path, absentCode, spareOptions }: GetRequest,
  environment: CommandEnvironment,
): Promise<void> {
  const [configuration, { getForRecovery }] = await Promise.all([
    environment.loadConfigurationFast(),
    import('../../archive/get-for-recovery.ts'),
  ])
  const destination = await ownPath(path, configuration, environment)
  const places = await openPlaces({ configuration, spareOptions }, environment)
  await using _ = closeInTime(places)
  const startPrefetcher =
    configuration.archive.prefetch > 0 ? prefetcherOf(spareOptions, environment) : undefined
  const tools = { repositories: places.repositories, startPrefetcher }
  const request = { name, destination }
  const answer = await getForRecovery(request, tools, environment.context)
  if (answer.kind === 'found') return
  // Absent wherever we could look. A repository that could not be opened may have it: that is not a proof (R39).
  if (places.failures.length > 0) throw places.failures[0]
  environment.exitWith(absentCode)
}

const openWithinMs = 15_000

/** Throws when no repository can be opened, or none answers. */
async function openPlaces(wanted: Wanted, environment: CommandEnvironment): Promise<OpenedPlaces> {
  const limited = limitTime(environment.context, openWithinMs, noAnswer())
  return orAbandon(openReachable(wanted, environment, limited), limited.signal)
}

interface Wanted {
  readonly configuration: Configuration
  readonly spareOptions: SpareOptions
}

async function openReachable(
  { configuration, spareOptions }: Wanted,
  environment: CommandEnvironment,
  context: RunContext,
): Promise<OpenedPlaces> {
  const [{ openArchivePlaces }, { requirePhysical }, { selectCluster }] = await Promise.all([
    import('../../app/open-archive-places.ts'),
    import('../../config/require-physical.ts'),
    import('../../config/select-configured.ts'),
  ])
  const { cluster, repo } = environment.options
  requirePhysical(selectCluster(configuration, cluster), {
    doing: 'fetching WAL of',
    hint: 'Take "restore_command" out of the settings of the server: there is no WAL of this cluster.',
  })
  const selection = { configuration, clusterName: cluster, repoName: repo }
  // The first that can be opened may have the file; that it is absent all of them have to say.
  const places = await openArchivePlaces({ ...selection, enough: 1 }, context)
  const [first] = places.repositories
  if (first !== undefined && spareOptions.spare.length > 0) {
    const { withSpares } = await import('../../app/spare-repositories.ts')
    const { spare: repos, mixed: areMixed } = spareOptions
    // Not with this context: its time is that of opening.
    return withSpares({ ...selection, repos, areMixed }, { places, first }, environment.context)
  }
  if (first !== undefined) return places
  await places[Symbol.asyncDispose]()
  throw places.failures[0]
}

function noAnswer(): OperationError {
  return new OperationError(
    'store-unreachable',
    `opening the repositories: no answer within ${openWithinMs} ms`,
    { hint: 'Look at the network, the mounts and the load of the repositories; PostgreSQL asks again.' },
  )
}

type StartPrefetcher = (request: { readonly walFolder: string; readonly after: string }) => Promise<void>

/** Starts this program again, detached: PostgreSQL waits for us, not for it. */
function prefetcherOf(
  { spare, mixed }: SpareOptions,
  { options, surroundings }: CommandEnvironment,
): StartPrefetcher {
  return async ({ walFolder, after }) => {
    const { spawnDetached } = await import('../../platform/child-process.ts')
    const [, program] = process.argv
    if (program === undefined) return
    const selection = [
      ...(options.config === undefined ? [] : ['--config', options.config]),
      ...(options.cluster === undefined ? [] : ['--cluster', options.cluster]),
      ...(options.repo === undefined ? [] : ['--repo', options.repo]),
      ...(options.repoAsOf === undefined ? [] : ['--repo-as-of', options.repoAsOf]),
    ]
    const spares = [
      ...(spare.length === 0 ? [] : ['--spare', spare.join(',')]),
      ...(mixed ? ['--mixed'] : []),
    ]
    const variables = Object.entries(surroundings.variables).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    )
    await spawnDetached(
      process.execPath,
      [program, ...selection, 'archive-get', '--prefetch', ...spares, after, resolve(walFolder)],
      {
        logFile: join(walFolder, prefetchFolder, '.log'),
        cwd: process.cwd(),
        env: Object.fromEntries(variables),
      },
    )
  }
}

async function fetchAhead(
  { name, path: walFolder, spareOptions }: GetRequest,
  environment: CommandEnvironment,
): Promise<void> {
  const after = classifyArchiveFileName(name)
  if (after?.kind !== 'segment') return
  const [configuration, { runPrefetch }] = await Promise.all([
    environment.loadConfigurationFast(),
    import('../../archive/run-prefetch.ts'),
  ])
  await ownPath(join(walFolder, name), configuration, environment)
  const places = await openPlaces({ configuration, spareOptions }, environment)
  await using _ = closeInTime(places)
  const mostSegments = configuration.archive.prefetch
  await runPrefetch({ walFolder, after: after.name, mostSegments }, places, environment.context)
}

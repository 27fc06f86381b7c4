import { dirname } from 'node:path'
import type { Command } from 'commander'
import type { PushTools } from '../../archive/push-file.ts'
import type { Configuration } from '../../config/configuration-schema.ts'
import { OperationError } from '../../domain/operation-error.ts'
import type { RunContext } from '../../domain/run-context.ts'
import { orAbandon } from '../../platform/or-abandon.ts'
import { closeInTime } from '../close-in-time.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { limitTime } from '../limit-time.ts'
import { ownPath } from '../own-path.ts'

interface PushOptions {
  readonly ahead: boolean
}

/**
 * `archive-push PATH`, which PostgreSQL runs as its archive_command for every file. Tells nothing when all is well: its
 * output ends in the log of the server. The modules come while it runs, so that it starts fast.
 */
export function registerArchivePush(program: Command, environment: CommandEnvironment): void {
  program
    .command('archive-push')
    .description('archive one WAL file; for archive_command, with %p')
    .argument('<path>', 'the file, as PostgreSQL gives it')
    .option('--ahead', 'then archive the files that wait behind it', false)
    .action((path: string, options: PushOptions) => push(path, options, environment))
}

async function push(
  givenPath: string,
  { ahead = false }: { ahead?: boolean },
  environment: CommandEnvironment,
): Promise<void> {
  const configuration = await environment.loadConfigurationFast()
  const path = await ownPath(givenPath, configuration, environment)
  const limited = limitTime(
    environment.context,
    configuration.archive.pushTimeout,
    tookTooLong(configuration),
  )
  const pushed = await orAbandon(
    pushOne(path, { configuration, environment, ahead }, limited),
    limited.signal,
  )
  await using _ = closeInTime(pushed.opened)
  if (!pushed.mayAcknowledge) return
  const { pushAhead } = await import('../../archive/push-ahead.ts')
  await pushAhead(path, pushed.tools, environment.context)
}

interface PushMeans {
  readonly configuration: Configuration
  readonly environment: CommandEnvironment
  readonly ahead: boolean
}

interface PushedOne {
  readonly tools: PushTools
  /** Whether files may be archived ahead: acknowledgements in pg_wal are about these repositories. */
  readonly mayAcknowledge: boolean
  readonly opened: AsyncDisposable
}

/** Archives one file, and gives with what. */
async function pushOne(
  path: string,
  { configuration, environment, ahead }: PushMeans,
  context: RunContext,
): Promise<PushedOne> {
  const [{ openPlacesForPush }, { pushFile }, { requireRepositorySet }] = await Promise.all([
    import('../../app/open-places-for-push.ts'),
    import('../../archive/push-file.ts'),
    import('../../archive/repository-set.ts'),
  ])
  await using opened = new AsyncDisposableStack()
  // Every repository, whatever --repo says: what is "archived" says the policy (R22).
  const wanted = { configuration, clusterName: environment.options.cluster, walFolder: dirname(path) }
  const places = opened.use(await openPlacesForPush(wanted, context))
  const tools = {
    repositories: places.repositories,
    required: Math.min(places.required, places.repositories.length),
    compressionLevel: configuration.archive.compressionLevel,
  }
  const mayAcknowledge =
    ahead &&
    places.isComplete &&
    (await requireRepositorySet(dirname(path), { ...places, places: places.repositories }, context))
  if (places.repositories.length > 0) await places.remember(await pushFile({ path }, tools, context))
  // What can be reached has the file now, which is not enough.
  if (places.repositories.length < places.required) throw places.failures[0]
  return { tools, mayAcknowledge, opened: opened.move() }
}

/** PostgreSQL waits without a limit of its own, and is told nothing meanwhile. */
function tookTooLong({ archive }: Configuration): OperationError {
  return new OperationError(
    'archive-timeout',
    `archiving a file took longer than ${archive.pushTimeout} ms`,
    {
      hint: 'PostgreSQL tries again; if this repeats, look at the repository, or raise "archive.push-timeout".',
    },
  )
}

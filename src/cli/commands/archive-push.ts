import type { Command } from 'commander'
import { OperationError } from '../../domain/operation-error.ts'
import type { RunContext } from '../../domain/run-context.ts'
import type { CommandEnvironment } from '../command-environment.ts'
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
  const [{ openArchivePlaces }, { pushFile }] = await Promise.all([
    import('../../app/open-archive-places.ts'),
    import('../../archive/push-file.ts'),
  ])
  const { context, options } = environment
  const limited = limitTime(context, configuration.archive.pushTimeout)
  // Every repository, whatever --repo says: only all of them together are "archived" (R22).
  const selection = { configuration, clusterName: options.cluster, repoName: undefined }
  await using places = await openArchivePlaces(selection, limited)
  const tools = {
    repositories: places.repositories,
    compressionLevel: configuration.archive.compressionLevel,
  }
  if (places.repositories.length > 0) await pushFile({ path }, tools, limited)
  // What can be reached has the file now, which is not enough.
  if (places.failures.length > 0) throw places.failures[0]
  if (!ahead) return
  const { pushAhead } = await import('../../archive/push-ahead.ts')
  await pushAhead(path, tools, context)
}

/** PostgreSQL waits without a limit of its own, and is told nothing meanwhile. */
function limitTime(context: RunContext, timeoutMs: number): RunContext {
  const timeout = new AbortController()
  const failure = new OperationError('archive-timeout', `archiving a file took longer than ${timeoutMs} ms`, {
    hint: 'PostgreSQL tries again; if this repeats, look at the repository, or raise "archive.push-timeout".',
  })
  setTimeout(() => timeout.abort(failure), timeoutMs).unref()
  return { ...context, signal: AbortSignal.any([context.signal, timeout.signal]) }
}

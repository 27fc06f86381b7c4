import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { AtDocument } from '../../api/at-document.ts'
import { formatDuration, parseDurationMs } from '../../domain/duration.ts'
import { OperationError } from '../../domain/operation-error.ts'
import { parseRecoveryTarget } from '../../domain/recovery-target.ts'
import type { Sandbox } from '../../sandbox/open-sandbox.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { addSandboxOptions, type SandboxOptions } from '../target-options.ts'
import { withSandboxPlace } from '../with-sandbox-place.ts'

interface AtOptions extends SandboxOptions {
  readonly keep: string
  readonly paused?: true
  readonly advance?: string
}

/** `at`: a throw-away read-only server at a moment; prints how to reach it, or runs a command with it. */
export function registerAt(program: Command, environment: CommandEnvironment): void {
  addSandboxOptions(program.command('at'))
    .description(
      'a throw-away read-only server as of a moment: print its connection, or run a command with it',
    )
    .argument('[command...]', 'after "--": what to run; it finds the server by PGHOST, PGPORT and PGUSER')
    .option('--keep <duration>', 'how long the server stays when no command is given', '1h')
    .option('--paused', 'leave it in recovery, so that it can go on to a later moment')
    .option(
      '--advance <sandbox>',
      'instead: take a paused one on to a later moment, with the same connection',
    )
    .action((command: readonly string[], options: AtOptions) => at(command, options, environment))
}

async function at(
  command: readonly string[],
  options: AtOptions,
  environment: CommandEnvironment,
): Promise<void> {
  if (options.advance !== undefined) return advance(options.advance, options, environment)
  const keepMs = parseDurationMs(options.keep)
  const isPaused = options.paused === true
  await withSandboxPlace({ options, isReadOnly: true, isPaused }, environment, async ({ open }) => {
    await using sandbox = await open()
    await (command.length === 0 ? stay(sandbox, keepMs, environment) : run(sandbox, command, environment))
  })
}

async function stay(sandbox: Sandbox, keepMs: number, environment: CommandEnvironment): Promise<void> {
  const { SandboxKeeper } = await import('../keep-sandbox.ts')
  const keeper = new SandboxKeeper(sandbox, keepMs, environment.context)
  const { document } = keeper
  environment.answer({ document, text: () => atText(document, keepMs) })
  await keeper.stay()
}

function atText(document: AtDocument, keepMs: number): string {
  const { connection, reachedLsn, lastCommitAt, backup, sandbox, isPaused, hasNetwork } = document
  return [
    `connect with: psql "${connection}"\n`,
    `at LSN ${reachedLsn}, last commit ${lastCommitAt ?? 'before the backup'}; from backup ${backup}\n`,
    isPaused ? `in recovery; go on to a later moment with "holdfast at --advance ${sandbox}"\n` : '',
    hasNetwork ? '' : 'cut off from the network\n',
    `read-only; removed in ${formatDuration(keepMs)}, or when you stop this command\n`,
  ].join('')
}

/** Asks the process that keeps a sandbox to go on with it. */
async function advance(
  wanted: string,
  { sandboxDirectory, keep, ...options }: AtOptions,
  environment: CommandEnvironment,
): Promise<void> {
  if (options.backup !== undefined || options.paused === true || environment.repoAsOf !== undefined) {
    throw new OperationError(
      'usage',
      'reading the arguments: "--advance" was given with "--backup", "--paused" or "--repo-as-of"',
      {
        hint: 'Give the target only: a sandbox goes on from where it is.',
      },
    )
  }
  const keepMs = parseDurationMs(keep)
  parseRecoveryTarget(options)
  const { configuration } = await loadAsOwner(environment)
  const [{ askToAdvance }, { sandboxParent }] = await Promise.all([
    import('../ask-to-advance.ts'),
    import('../sandbox-parent.ts'),
  ])
  const folder = resolve(await sandboxParent(sandboxDirectory, configuration), wanted)
  const document = await askToAdvance({ folder, options, keep }, environment.context)
  environment.answer({
    document,
    text: () => `${atText(document, keepMs)}went on in ${formatDuration(document.recoveryMs)}\n`,
  })
}

async function run(
  sandbox: Sandbox,
  [file = '', ...args]: readonly string[],
  environment: CommandEnvironment,
): Promise<void> {
  const { runInForeground } = await import('../../platform/child-process.ts')
  const { host, port, user, dbname } = sandbox.conninfo
  const variables = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: dbname }
  environment.close()
  const env = { ...environment.surroundings.variables, ...variables }
  environment.exitWith(await runInForeground(file, args, { env, signal: environment.context.signal }))
}

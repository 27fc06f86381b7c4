import type { Command } from 'commander'
import type { AtDocument } from '../../api/at-document.ts'
import { formatDuration, parseDurationMs } from '../../domain/duration.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { OperationError } from '../../domain/operation-error.ts'
import { formatInstant, instantFromMs } from '../../domain/target-time.ts'
import { lastCommitAt } from '../../sandbox/last-commit.ts'
import type { Sandbox } from '../../sandbox/open-sandbox.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { addSandboxOptions, type SandboxOptions } from '../target-options.ts'
import { withSandboxPlace } from '../with-sandbox-place.ts'

interface AtOptions extends SandboxOptions {
  readonly keep: string
}

/** `at`: a throw-away read-only server at a moment; prints how to reach it, or runs a command with it. */
export function registerAt(program: Command, environment: CommandEnvironment): void {
  addSandboxOptions(program.command('at'))
    .description(
      'a throw-away read-only server as of a moment: print its connection, or run a command with it',
    )
    .argument('[command...]', 'after "--": what to run; it finds the server by PGHOST, PGPORT and PGUSER')
    .option('--keep <duration>', 'how long the server stays when no command is given', '1h')
    .action((command: readonly string[], options: AtOptions) => at(command, options, environment))
}

async function at(
  command: readonly string[],
  options: AtOptions,
  environment: CommandEnvironment,
): Promise<void> {
  const keepMs = parseDurationMs(options.keep)
  await withSandboxPlace({ options, isReadOnly: true }, environment, async ({ open }) => {
    await using sandbox = await open()
    await (command.length === 0 ? stay(sandbox, keepMs, environment) : run(sandbox, command, environment))
  })
}

/** Until the time is over, somebody stops us, or the server ends. */
async function stay(sandbox: Sandbox, keepMs: number, environment: CommandEnvironment): Promise<void> {
  const { clock, signal } = environment.context
  const document = documentOf(sandbox, clock.now() + keepMs)
  environment.answer({
    document,
    text: () =>
      [
        `connect with: psql "${document.connection}"\n`,
        `at LSN ${document.reachedLsn}, last commit ${document.lastCommitAt ?? 'before the backup'}; from backup ${document.backup}\n`,
        document.hasNetwork ? '' : 'cut off from the network\n',
        `read-only; removed in ${formatDuration(keepMs)}, or when you stop this command\n`,
      ].join(''),
  })
  const ended = new AbortController()
  const over = clock.sleep(keepMs, AbortSignal.any([signal, ended.signal])).catch(() => undefined)
  await Promise.race([over, sandbox.server.exited])
  ended.abort()
  if (sandbox.server.isAlive()) return
  throw new OperationError('server-failed', 'the throw-away server ended before its time', {
    hint: 'Nothing of the cluster is touched; run the command again.',
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

function documentOf({ conninfo, plan, reached, restored, hasNetwork }: Sandbox, untilMs: number): AtDocument {
  const { host, port, user, dbname } = conninfo
  return {
    version: 1,
    connection: `host=${host} port=${port} user=${quoted(user)} dbname=${dbname}`,
    backup: plan.backup.label,
    timeline: reached.timeline,
    reachedLsn: formatLsn(reached.lsn),
    lastCommitAt: lastCommitAt(reached) ?? null,
    keptUntil: formatInstant(instantFromMs(untilMs)),
    hasNetwork,
    filesMs: Math.round(restored.filesMs),
    recoveryMs: Math.round(restored.recoveryMs),
  }
}

/** A value of a connection string. */
const quoted = (value: string): string =>
  /^[A-Za-z0-9_.-]+$/.test(value) ? value : `'${value.replaceAll(/['\\]/g, (character) => `\\${character}`)}'`

import { Command, CommanderError } from 'commander'
import { nearestName } from '../config/nearest-name.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { CommandEnvironment } from './command-environment.ts'
import type { Surroundings } from './command-environment.ts'
import { commandTable } from './command-table.ts'
import { failureExitCode } from './failure-exit-code.ts'
import { firstFailure } from './first-failure.ts'
import { addGlobalOptions, readRepoAsOf } from './global-options.ts'
import type { GlobalOptions } from './global-options.ts'
import { commandWord, wantsJson } from './read-ahead.ts'
import { toUsageError } from './usage-error.ts'

/** Runs the command that the arguments name and gives its exit code. Never throws: what goes wrong is told and coded. */
export async function runCommandLine(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const environment = new CommandEnvironment(surroundings)
  try {
    const program = createProgram(environment)
    await registerCommands(program, { environment, argv })
    await program.parseAsync(argv, { from: 'user' })
    environment.close()
    return environment.exitCode
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    const failure = explain(firstFailure(error), surroundings.signal)
    const exitCode = failureExitCode(argv, isOperationError(failure) ? failure.exitCode : 1)
    environment.reportFailure(failure, { exitCode, wantsJson: wantsJson(argv) })
    return exitCode
  }
}

/** The program with its global options and no command yet. */
function createProgram(environment: CommandEnvironment): Command {
  const { stdout } = environment.surroundings
  const program = new Command('holdfast')
    .description('Backup, recovery and replication for PostgreSQL.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: () => undefined,
      outputError: () => undefined,
      getOutHasColors: () => false,
    })
    .hook('preAction', (_, action) => {
      const options = action.optsWithGlobals<GlobalOptions>()
      environment.begin(options)
      environment.repoAsOf = readRepoAsOf(options, action)
    })
  addGlobalOptions(program)
  return program
}

interface Registration {
  readonly environment: CommandEnvironment
  readonly argv: readonly string[]
}

/** Loads the one command that the arguments name, or all of them where all must be known. */
async function registerCommands(program: Command, { environment, argv }: Registration): Promise<void> {
  const word = commandWord(argv)
  const one = word === undefined ? undefined : commandTable.get(word)
  if (one !== undefined && word !== 'completion') {
    ;(await one())(program, environment)
    return
  }
  if (word !== undefined && word !== 'completion' && word !== 'help') throw unknownCommand(word)
  if (word === undefined && !asksForHelp(argv)) throw missingCommand()
  for (const load of commandTable.values()) (await load())(program, environment)
}

function asksForHelp(argv: readonly string[]): boolean {
  return argv.includes('--help') || argv.includes('-h')
}

function missingCommand(): OperationError {
  return new OperationError('usage', 'reading the arguments: expected a command, found none', {
    hint: 'Run "holdfast --help" to see the commands.',
  })
}

function unknownCommand(word: string): OperationError {
  const near = nearestName(word, commandTable.keys())
  return new OperationError('usage', `reading the arguments: there is no command ${quote(word)}`, {
    hint: near === undefined ? 'Run "holdfast --help" to see the commands.' : `Did you mean "${near}"?`,
  })
}

/** What ended the run, in our own terms. After an abort its reason says more than where it was noticed. */
function explain(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof CommanderError) return toUsageError(error)
  const isEcho = signal.aborted && error instanceof Error && error.name === 'AbortError'
  return isEcho ? signal.reason : error
}

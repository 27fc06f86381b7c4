import assert from 'node:assert/strict'
import type { JsonDocument } from '../api/json-document.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import type { LoadedConfiguration } from '../config/load-configuration.ts'
import type { Clock, RunContext } from '../domain/run-context.ts'
import type { Instant } from '../domain/target-time.ts'
import type { Environment } from '../platform/environment.ts'
import type { GlobalOptions } from './global-options.ts'
import { errorDocument, formatError } from './output/errors.ts'
import { formatJson } from './output/json.ts'
import { createReporter } from './output/reporter.ts'
import type { Reporter } from './output/reporter.ts'
import { chooseStyle } from './output/text.ts'
import type { OutputStream, Style } from './output/text.ts'

/** What a run stands in: everything that a test puts something else in the place of. */
export interface Surroundings {
  readonly variables: Environment
  /** The home directory of the user; undefined when there is none. */
  readonly home: string | undefined
  /** Where things are kept that make the next run faster: nobody but the user can write there. Undefined: nowhere. */
  readonly cacheFolder?: string | undefined
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly signal: AbortSignal
  readonly clock: Clock
}

/** The answer of a command, for programs and for people. The text ends in a newline. */
export interface Answer {
  readonly document: JsonDocument
  readonly text: (style: Style) => string
}

/**
 * What a command's action works with: the global options, the run context, the configuration, and how to answer. It is
 * made before the arguments are read; `begin` completes it, and only then may an action use it.
 */
export class CommandEnvironment {
  readonly surroundings: Surroundings
  readonly context: RunContext
  /** Whatever is loaded names repositories as they were then. */
  repoAsOf: Instant | undefined
  #options: GlobalOptions | undefined
  #reporter: Reporter | undefined
  #exitCode = 0
  #hasAnswered = false

  constructor(surroundings: Surroundings) {
    this.surroundings = surroundings
    this.context = {
      signal: surroundings.signal,
      clock: surroundings.clock,
      report: (event) => this.#reporter?.report(event),
    }
  }

  /** With JSON as answer a program listens: it is told warnings, and more only when it asks for it. */
  begin(options: GlobalOptions): void {
    const { stderr, variables, clock } = this.surroundings
    const isQuiet = options.output === 'json' && options.logLevel === 'info'
    const style = chooseStyle(stderr, options.color, variables)
    this.#options = options
    this.#reporter = createReporter({
      stream: stderr,
      clock,
      level: isQuiet ? 'warning' : options.logLevel,
      style,
    })
  }

  get options(): GlobalOptions {
    assert(this.#options !== undefined, 'the arguments have not been read yet')
    return this.#options
  }

  /** Loads the configuration that the options and the environment name. */
  async loadConfiguration(): Promise<LoadedConfiguration> {
    const { loadConfiguration } = await import('../config/load-configuration.ts')
    const { variables, home } = this.surroundings
    const loaded = await loadConfiguration({
      explicitFile: this.options.config,
      environment: variables,
      home,
    })
    return { ...loaded, configuration: { ...loaded.configuration, repoAsOf: this.repoAsOf } }
  }

  /** The same without where each setting is from, for commands that PostgreSQL starts all the time. */
  async loadConfigurationFast(): Promise<Configuration> {
    const { rememberedConfiguration } = await import('../config/remembered-configuration.ts')
    const { variables, home, cacheFolder } = this.surroundings
    const configuration = await rememberedConfiguration(
      { explicitFile: this.options.config, environment: variables, home },
      cacheFolder,
    )
    return { ...configuration, repoAsOf: this.repoAsOf }
  }

  /** Prints the answer, in the form that was asked for. A command answers once. */
  answer({ document, text }: Answer): void {
    const { stdout, variables } = this.surroundings
    assert(!this.#hasAnswered, 'a command answers once')
    this.#reporter?.close()
    this.#hasAnswered = true
    const style = chooseStyle(stdout, this.options.color, variables)
    stdout.write(this.options.output === 'json' ? formatJson(document) : text(style))
  }

  /** Sets the exit code of a command that answered, for codes that are answers too: damage found, nothing found. */
  exitWith(exitCode: number): void {
    this.#exitCode = exitCode
  }

  get exitCode(): number {
    return this.#exitCode
  }

  /** Says why the run failed: in words on standard error, and as the answer too when that is wanted as JSON. */
  reportFailure(error: unknown, { exitCode, wantsJson }: { exitCode: number; wantsJson: boolean }): void {
    const { stdout, stderr, variables } = this.surroundings
    this.#reporter?.close()
    const style = chooseStyle(stderr, this.#options?.color ?? true, variables)
    stderr.write(formatError(error, { style, isDebug: this.#options?.logLevel === 'debug' }))
    if (wantsJson && !this.#hasAnswered) stdout.write(formatJson(errorDocument(error, exitCode)))
  }

  /** Ends the story, so that what is written next stands on a line of its own. */
  close(): void {
    this.#reporter?.close()
  }
}

import { Option } from 'commander'
import type { Command } from 'commander'
import { OperationError } from '../domain/operation-error.ts'
import { parseTargetTime, type Instant } from '../domain/target-time.ts'

/** How much of the story is told on standard error: each level tells what the ones before it tell. */
const logLevels = ['error', 'warning', 'info', 'debug'] as const
export type LogLevel = (typeof logLevels)[number]

/** The options that every command has. They may stand before or after the command's name. */
export interface GlobalOptions {
  readonly config?: string
  readonly cluster?: string
  readonly repo?: string
  readonly repoAsOf?: string
  readonly output: 'text' | 'json'
  readonly logLevel: LogLevel
  readonly color: boolean
}

export function addGlobalOptions(program: Command): void {
  program
    .option('--config <file>', 'configuration file')
    .option('--cluster <name>', 'the cluster, when several are configured')
    .option('--repo <name>', 'the repo, when several are configured')
    .option('--repo-as-of <time>', 'read the repo as it was then, in a bucket that keeps versions')
    .addOption(new Option('--output <format>', 'how to answer').choices(['text', 'json']).default('text'))
    .addOption(new Option('--log-level <level>', 'how much to tell').choices(logLevels).default('info'))
    .option('--no-color', 'no colours')
}

/** Commands that only read repositories, or only the one that they copy from. */
const readingCommands: ReadonlySet<string> = new Set([
  'info',
  'restore',
  'verify',
  'find',
  'at',
  'rescue',
  'repo copy',
  'archive-get',
])

/** The moment of `--repo-as-of`. Throws `usage` for a command that writes: nobody can change the past. */
export function readRepoAsOf({ repoAsOf }: GlobalOptions, command: Command): Instant | undefined {
  if (repoAsOf === undefined) return undefined
  const parent = command.parent?.parent == null ? '' : `${command.parent.name()} `
  const name = `${parent}${command.name()}`
  if (readingCommands.has(name)) return parseTargetTime(repoAsOf)
  throw new OperationError(
    'usage',
    `reading the arguments: expected --repo-as-of with a command that only reads, found "${name}"`,
    {
      hint: 'Use it with info, restore, verify, find, at, rescue, or repo copy, which copies out of the past.',
    },
  )
}

import { Option } from 'commander'
import type { Command } from 'commander'

/** How much of the story is told on standard error: each level tells what the ones before it tell. */
const logLevels = ['error', 'warning', 'info', 'debug'] as const
export type LogLevel = (typeof logLevels)[number]

/** The options that every command has. They may stand before or after the command's name. */
export interface GlobalOptions {
  readonly config?: string
  readonly cluster?: string
  readonly repo?: string
  readonly output: 'text' | 'json'
  readonly logLevel: LogLevel
  readonly color: boolean
}

export function addGlobalOptions(program: Command): void {
  program
    .option('--config <file>', 'configuration file')
    .option('--cluster <name>', 'the cluster, when several are configured')
    .option('--repo <name>', 'the repo, when several are configured')
    .addOption(new Option('--output <format>', 'how to answer').choices(['text', 'json']).default('text'))
    .addOption(new Option('--log-level <level>', 'how much to tell').choices(logLevels).default('info'))
    .option('--no-color', 'no colours')
}

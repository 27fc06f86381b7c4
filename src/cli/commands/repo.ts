import type { Command } from 'commander'
import type { CommandEnvironment } from '../command-environment.ts'
import type { RegisterCommand } from '../command-table.ts'
import { registerRepoAccept } from './repo-accept.ts'
import { registerRepoCopy } from './repo-copy.ts'
import { registerRepoKeys } from './repo-keys.ts'
import { registerRepoProbe } from './repo-probe.ts'
import { registerRepoRekey } from './repo-rekey.ts'
import { registerRepoSweep } from './repo-sweep.ts'

/** What `repo` can do: a line each, in the order of the help. */
const subcommands: readonly RegisterCommand[] = [
  registerRepoKeys,
  registerRepoRekey,
  registerRepoCopy,
  registerRepoSweep,
  registerRepoProbe,
  registerRepoAccept,
]

/** `repo`: care of repositories. `--repo` names the one that is meant. */
export function registerRepo(program: Command, environment: CommandEnvironment): void {
  const repo = program.command('repo').description('take care of repositories')
  for (const register of subcommands) register(repo, environment)
}

import type { Command } from 'commander'

/** The options of commands that go to a moment, for `parseRecoveryTarget`. */
export interface TargetOptions {
  readonly backup?: string
  readonly targetTime?: string
  readonly targetLsn?: string
  readonly targetXid?: string
  readonly targetName?: string
  readonly targetImmediate?: true
  readonly targetTimeline?: string
  readonly targetExclusive?: true
}

/** Adds the options that say which moment, and from which backup. */
export function addTargetOptions(command: Command): Command {
  return command
    .option('--backup <label>', 'the backup to begin with; default: the newest that fits the target')
    .option('--target-time <time>', 'recover to this moment: a date, a time and an offset or a zone')
    .option('--target-lsn <lsn>', 'recover to this position in the WAL')
    .option('--target-xid <xid>', 'recover to the end of this transaction')
    .option('--target-name <name>', 'recover to this restore point')
    .option('--target-immediate', 'recover to the end of the backup')
    .option(
      '--target-timeline <timeline>',
      'a number, "current" or "latest"; default: the only one that leads on',
    )
    .option('--target-exclusive', 'stop right before the target')
}

/** The options of commands that work with a throw-away server. */
export interface SandboxOptions extends TargetOptions {
  readonly sandboxDirectory?: string
  readonly acceptOlderRepository?: true
}

/** Adds the options that say which moment, and where the server is restored to meanwhile. */
export function addSandboxOptions(command: Command): Command {
  return addTargetOptions(command)
    .option(
      '--sandbox-directory <dir>',
      'where the cluster is restored to meanwhile; default: the setting, or the state directory',
    )
    .option(
      '--accept-older-repository',
      'also when the repository is older than what this host has seen of it',
    )
}

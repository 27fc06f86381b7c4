import type { Command } from 'commander'
import type { CommandEnvironment } from './command-environment.ts'

/** Adds one command, with its options and its action, to the program. */
export type RegisterCommand = (program: Command, environment: CommandEnvironment) => void

/**
 * Every command and the file it is in: a line each, in the order of the help. Only the file of the command that runs is
 * loaded, so a command pays at its start for nothing but itself.
 */
export const commandTable: ReadonlyMap<string, () => Promise<RegisterCommand>> = new Map([
  ['init', async () => (await import('./commands/init.ts')).registerInit],
  ['check', async () => (await import('./commands/check.ts')).registerCheck],
  ['backup', async () => (await import('./commands/backup.ts')).registerBackup],
  ['dump', async () => (await import('./commands/dump.ts')).registerDump],
  ['load', async () => (await import('./commands/load.ts')).registerLoad],
  ['restore', async () => (await import('./commands/restore.ts')).registerRestore],
  ['info', async () => (await import('./commands/info.ts')).registerInfo],
  ['verify', async () => (await import('./commands/verify.ts')).registerVerify],
  ['find', async () => (await import('./commands/find.ts')).registerFind],
  ['at', async () => (await import('./commands/at.ts')).registerAt],
  ['rescue', async () => (await import('./commands/rescue.ts')).registerRescue],
  ['drill', async () => (await import('./commands/drill.ts')).registerDrill],
  ['expire', async () => (await import('./commands/expire.ts')).registerExpire],
  ['delete', async () => (await import('./commands/delete.ts')).registerDelete],
  ['pin', async () => (await import('./commands/pin.ts')).registerPin],
  ['unpin', async () => (await import('./commands/unpin.ts')).registerUnpin],
  ['archive-push', async () => (await import('./commands/archive-push.ts')).registerArchivePush],
  ['archive-get', async () => (await import('./commands/archive-get.ts')).registerArchiveGet],
  ['repo', async () => (await import('./commands/repo.ts')).registerRepo],
  ['config', async () => (await import('./commands/config.ts')).registerConfig],
  ['completion', async () => (await import('./commands/completion.ts')).registerCompletion],
  ['version', async () => (await import('./commands/version.ts')).registerVersion],
])

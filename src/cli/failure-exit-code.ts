import { valueOf } from './read-ahead.ts'

/**
 * The exit code of a run that failed, however it failed. Two commands are run by PostgreSQL and answer to it:
 *
 * - `archive-get`: PostgreSQL takes 1 to 125 for the end of the WAL and promotes, so whatever is not a proven absence
 *   must be 126 or more (M1). A standby dies of that, so there it is 1, which it retries (M2).
 * - `archive-push`: 1 to 5, never above 125, which would stop the archiver.
 */
export function failureExitCode(argv: readonly string[], exitCode: number): number {
  if (isArchiveGet(argv)) return valueOf(argv, '--mode') === 'standby' ? 1 : 126
  if (argv.includes('archive-push')) return exitCode >= 1 && exitCode <= 5 ? exitCode : 1
  return exitCode
}

/**
 * The exit code after a signal that ends the run at once; undefined when the first signal asks for an orderly end.
 * PostgreSQL stops its restore_command by SIGTERM and takes 143 for the answer to that (M1).
 */
export function immediateExitCode(argv: readonly string[], signal: NodeJS.Signals): number | undefined {
  return isArchiveGet(argv) && signal === 'SIGTERM' ? 143 : undefined
}

/** Anywhere among the arguments: when they are so wrong that the command cannot be told, the careful answer is right. */
function isArchiveGet(argv: readonly string[]): boolean {
  return argv.includes('archive-get')
}

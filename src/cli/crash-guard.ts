import { failureExitCode } from './failure-exit-code.ts'
import { formatError } from './output/errors.ts'
import { plain } from './output/text.ts'
import { valueOf } from './read-ahead.ts'

/**
 * Sees to it that a run that crashes says so in one line and exits as its command must when it fails: by itself Node exits
 * 1, which PostgreSQL takes for the end of the WAL when the run is an `archive-get` (M1, R73).
 */
export function guardAgainstCrashes(argv: readonly string[]): void {
  const crash = (error: unknown): void => {
    process.stderr.write(
      formatError(error, { style: plain, isDebug: valueOf(argv, '--log-level') === 'debug' }),
    )
    // The state of the process is unknown: going on, even to flush output, could do harm.
    process.exit(failureExitCode(argv, 1))
  }
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)
}

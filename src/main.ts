import { guardAgainstCrashes } from './cli/crash-guard.ts'
import { keepMemoryOutOfCoreDumps } from './platform/core-dump.ts'

/**
 * Runs the command line and sets the process's exit code. `argv` is without the interpreter and the script. bin/holdfast has
 * set the process up: what is created is for its owner only, and compiled code is kept.
 */
export async function runMain(argv: readonly string[]): Promise<void> {
  keepMemoryOutOfCoreDumps()
  guardAgainstCrashes(argv)
  const { runProcess } = await import('./cli/run-process.ts')
  process.exitCode = await runProcess(argv)
}

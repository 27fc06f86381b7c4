import { guardAgainstCrashes } from './cli/crash-guard.ts'

/** Runs the command line and sets the process's exit code. `argv` is without the interpreter and the script. */
export async function runMain(argv: readonly string[]): Promise<void> {
  // Whatever is created is for its owner only (RULES 4.2).
  process.umask(0o077)
  guardAgainstCrashes(argv)
  const { runProcess } = await import('./cli/run-process.ts')
  process.exitCode = await runProcess(argv)
}

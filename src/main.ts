/** Runs the command line and sets the process's exit code. `argv` is without the interpreter and the script. */
export async function runMain(argv: readonly string[]): Promise<void> {
  const { runCommandLine } = await import('./cli/command-line.ts')
  process.exitCode = await runCommandLine(argv)
}

/** Reads the arguments, runs the command that they name and gives its exit code. */
export function runCommandLine(argv: readonly string[]): Promise<number> {
  process.stderr.write(`unknown command: ${argv.join(' ')}\n`)
  return Promise.resolve(2)
}

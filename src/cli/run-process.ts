import { getCompileCacheDir } from 'node:module'
import { dirname, join } from 'node:path'
import { endProcess } from '../platform/end-process.ts'
import { homeDirectory, processEnvironment } from '../platform/environment.ts'
import { systemClock } from '../platform/system-clock.ts'
import { runCommandLine } from './command-line.ts'
import { listenForInterruption } from './interruption.ts'
import { commandWord } from './read-ahead.ts'

/** Runs the command line in this process: its environment, its streams, its signals. Gives the exit code. */
export async function runProcess(argv: readonly string[]): Promise<number> {
  using interruption = listenForInterruption(argv)
  for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreClosedPipe)
  const exitCode = await runCommandLine(argv, {
    variables: processEnvironment(),
    home: homeDirectory(),
    cacheFolder: cacheFolder(),
    stdout: process.stdout,
    stderr: process.stderr,
    signal: interruption.signal,
    clock: systemClock,
  })
  if (runByPostgres.has(commandWord(argv) ?? '')) endSoon(exitCode)
  return exitCode
}

const runByPostgres: ReadonlySet<string> = new Set(['archive-push', 'archive-get'])
const endWithinMs = 500

/** The answer is known, and PostgreSQL waits for the end of the process: a call that hangs must not keep it from that. */
function endSoon(exitCode: number): void {
  setTimeout(() => endProcess(exitCode), endWithinMs).unref()
}

/**
 * Beside the compiled code, when that is in the very folder that bin/holdfast has looked at. With NODE_COMPILE_CACHE it is
 * elsewhere, perhaps where everybody may write; then nothing is kept.
 */
function cacheFolder(): string | undefined {
  const home = homeDirectory()
  const compiled = getCompileCacheDir()
  if (home === undefined || compiled === undefined) return undefined
  const own = join(home, '.cache', 'holdfast')
  const isNamed = (processEnvironment()['NODE_COMPILE_CACHE'] ?? '') !== ''
  return dirname(compiled) === own && !isNamed ? own : undefined
}

/** Who reads along may stop reading, as `head` does: the work goes on and its exit code still says how it went. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
}

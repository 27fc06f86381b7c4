import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { compileCache } from './compile-cache.ts'
import type { HoldfastResult } from './holdfast.ts'

export interface RunningHoldfast {
  kill(signal: NodeJS.Signals): void
  /** What it has answered so far. */
  stdout(): string
  /** What it has told so far. */
  stderr(): string
  /** Resolves when it has ended, however it did. */
  readonly ended: Promise<HoldfastResult>
}

const executable = join(import.meta.dirname, '..', '..', 'bin', 'holdfast')

/** Starts the tool and lets it run, so that a test can do something to it meanwhile. `runHoldfast` waits for it. */
export function startHoldfast(
  args: readonly string[],
  { config, env = {} }: { readonly config: string; readonly env?: Readonly<Record<string, string>> },
): RunningHoldfast {
  // As an argument, so that it goes with the scratch that the file is in, also when it was stopped by its test.
  const child = spawn(process.execPath, [executable, '--config', config, ...args], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
      HOME: tmpdir(),
      LC_ALL: 'C.UTF-8',
      ...compileCache(),
      XDG_STATE_HOME: join(dirname(config), 'state'),
      ...env,
    },
  })
  const collect = async (): Promise<HoldfastResult> => {
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    return { args, code: child.exitCode, signal: child.signalCode, stdout, stderr }
  }
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8')
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8')
  })
  return {
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal) => {
      child.kill(signal)
    },
    ended: collect(),
  }
}

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { compileCache } from './compile-cache.ts'
import { identityOf } from './server-user.ts'
import type { ServerUser } from './server-user.ts'

export interface HoldfastOptions {
  /** Added to an environment that holds next to nothing. */
  readonly env?: Readonly<Record<string, string>>
  /** The configuration file: becomes `HOLDFAST_CONFIG`. */
  readonly config?: string
  /** What it reads from its standard input. Default: nothing. */
  readonly input?: string
  readonly asUser?: ServerUser
  /** Default: the temp folder. */
  readonly cwd?: string
  /** After that it and its children are killed. Default: 120 000. */
  readonly timeoutMs?: number
}

export interface HoldfastResult {
  readonly args: readonly string[]
  /** null: it was killed by `signal`. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

const executable = join(import.meta.dirname, '..', '..', 'bin', 'holdfast')

/** Runs the tool as its users do, with the Node that runs the test. Any exit code is an answer, not an exception. */
export async function runHoldfast(
  args: readonly string[],
  options: HoldfastOptions = {},
): Promise<HoldfastResult> {
  const { env = {}, config, input = '', asUser, cwd = tmpdir(), timeoutMs = 120_000 } = options
  const child = spawn(process.execPath, [executable, ...args], {
    cwd,
    // A process group of its own: on a timeout its children are killed with it.
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
      HOME: tmpdir(),
      LC_ALL: 'C.UTF-8',
      ...compileCache(),
      ...(config === undefined
        ? {}
        : { HOLDFAST_CONFIG: config, XDG_STATE_HOME: join(dirname(config), 'state') }),
      ...env,
    },
    ...(asUser === undefined ? {} : identityOf(asUser)),
  })
  await once(child, 'spawn')
  const timeout = setTimeout(() => killGroup(child.pid), timeoutMs)
  // It may end without reading its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  clearTimeout(timeout)
  return { args, code: child.exitCode, signal: child.signalCode, stdout, stderr }
}

/** Fails with all that the tool said unless it exited with 0. Returns the result, so that it can be looked at further. */
export function expectOk(result: HoldfastResult): HoldfastResult {
  const { args, code, signal, stdout, stderr } = result
  const how = signal === null ? `exited with ${code}` : `was killed by ${signal}`
  assert.ok(code === 0, `"holdfast ${args.join(' ')}" ${how}\nstderr:\n${stderr}\nstdout:\n${stdout}`)
  return result
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
}

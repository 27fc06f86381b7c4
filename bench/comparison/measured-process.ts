import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { identityOf, type ServerUser } from '../../test/support/server-user.ts'
import { memoryOf, withDescendants } from './process-tree.ts'

const sampleMs = 100

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** What a command and everything that it started took together. */
export interface Usage {
  readonly wallSeconds: number
  /** User and system. */
  readonly cpuSeconds: number
  /** Peak of the sum of proportional set sizes (shared pages count once), sampled ten times a second. */
  readonly memoryBytes: number
  /** By read calls, from the page cache or not; undefined where the kernel does not tell. */
  readonly readBytes: number | undefined
  /** That had to come from the disk. */
  readonly diskReadBytes: number | undefined
}

/**
 * Runs the command, then says what the shell has waited for: a kernel adds CPU time and bytes of children to the process
 * that waits for them, so this is exact for the whole tree, without privileges. The answer goes to descriptor 3.
 */
const script = '"$@" 3>&-; code=$?; { times; cat /proc/$$/io; } >&3 2>/dev/null; exit $code'

/** Runs a command as the servers' user until it ends. Any exit code but those that are `expected` is an error. */
export async function measureProcess(
  command: Command,
  { user, expected = [0] }: { readonly user: ServerUser; readonly expected?: readonly number[] },
): Promise<Usage & { readonly stdout: string; readonly stderr: string }> {
  const start = performance.now()
  const child = spawn('/bin/sh', ['-c', script, 'sh', command.file, ...command.args], {
    cwd: command.cwd ?? '/',
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...baseEnvironment, ...command.env },
    ...identityOf(user),
  })
  await once(child, 'spawn')
  const memory = watchMemory(child.pid)
  const [stdout, stderr, account] = await Promise.all([
    textOf(child.stdio[1]),
    textOf(child.stdio[2]),
    textOf(child.stdio[3]),
    once(child, 'exit'),
  ])
  const wallSeconds = (performance.now() - start) / 1000
  const memoryBytes = memory.stop()
  if (child.exitCode === null || !expected.includes(child.exitCode)) {
    const words = [command.file, ...command.args].join(' ')
    throw new Error(`"${words}" ended with ${child.exitCode ?? child.signalCode}:\n${stderr}${stdout}`)
  }
  return { wallSeconds, memoryBytes, stdout, stderr, ...readAccount(account) }
}

const baseEnvironment: Readonly<Record<string, string>> = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  LC_ALL: 'C.UTF-8',
  TZ: 'UTC',
  HOME: '/tmp',
}

/** Samples the memory of a process and everything below it until it is stopped; then gives the highest sum. */
function watchMemory(pid: number | undefined): { stop(): number } {
  let peak = 0
  const sample = (): void => {
    if (pid !== undefined) peak = Math.max(peak, memoryOf(withDescendants(pid)))
  }
  const timer = setInterval(sample, sampleMs)
  return {
    stop: () => {
      clearInterval(timer)
      return peak
    },
  }
}

async function textOf(pipe: unknown): Promise<string> {
  return pipe instanceof Readable ? text(pipe) : ''
}

/** Two lines of `times`, the shell's own and its children's as `0m1.23s 0m0.45s`, then /proc/PID/io. */
function readAccount(account: string): Pick<Usage, 'cpuSeconds' | 'readBytes' | 'diskReadBytes'> {
  const [, children = ''] = account.split('\n')
  const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, rest]) => Number(minutes) * 60 + Number(rest),
  )
  return {
    cpuSeconds: seconds.reduce((sum, part) => sum + part, 0),
    readBytes: counter(account, 'rchar'),
    diskReadBytes: counter(account, 'read_bytes'),
  }
}

function counter(account: string, name: string): number | undefined {
  const found = new RegExp(`^${name}: (\\d+)$`, 'm').exec(account)
  return found === null ? undefined : Number(found[1])
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { HoldfastResult } from '../support/holdfast.ts'
import { identityOf } from '../support/server-user.ts'
import type { Command } from './fault-case.ts'
import type { Trial } from './sweep.ts'
import type { FaultKind } from './tap-settings.ts'

// What Node asks of the kernel, seen from outside. strace counts for each thread apart, so one thread for all asynchronous
// calls and one system call at a time make a count mean the same in every run.

/** System calls of one sort, as strace has them. A name that this machine does not have is fine. */
const sorts = {
  openat: 'openat',
  write: 'write',
  pwrite: 'pwrite64,pwritev',
  fsync: 'fsync,fdatasync',
  rename: '?rename,?renameat,renameat2',
  link: '?link,linkat',
  symlink: '?symlink,symlinkat',
  unlink: '?unlink,unlinkat,?rmdir',
  mkdir: '?mkdir,mkdirat',
  truncate: 'ftruncate,truncate',
} as const
type Sort = keyof typeof sorts

export interface StracePlan {
  readonly trials: readonly Trial[]
  /** How many calls of Node's own were left out: what it loads and how it wakes its threads. */
  readonly leftOutCount: number
}

/** Runs the command once under strace and gives a trial for each call of the tool, by each fault that it can meet. */
export async function planStraceTrials(command: Command): Promise<StracePlan> {
  const trials: Trial[] = []
  let leftOutCount = 0
  for (const [sort, threads] of await record(command)) {
    const longest = Math.max(...threads.map((lines) => lines.length))
    for (let at = 1; at <= longest; at += 1) {
      const lines = threads.map((calls) => calls[at - 1]).filter((line) => line !== undefined)
      if (lines.some(isOfNode)) leftOutCount += 1
      else trials.push(...kindsFor(sort, lines).map((kind) => straceTrial({ kind, sort, at })))
    }
  }
  return { trials, leftOutCount }
}

interface StraceFault {
  readonly kind: FaultKind
  readonly sort: Sort
  readonly at: number
}

function straceTrial({ kind, sort, at }: StraceFault): Trial {
  const effect = kind === 'kill' ? 'signal=KILL' : `error=${kind}`
  return {
    kind,
    run: async (command) => {
      const options = ['-e', `trace=${sorts[sort]}`, '-e', `inject=${sorts[sort]}:${effect}:when=${at}`]
      const { result, log } = await runWithStrace(command, options)
      // Each thread has a call of that number.
      const allStruck = log.split('\n').filter((line) => line.includes('(INJECTED)'))
      const struck = allStruck.find(isOfNode) ?? allStruck[0]
      const isStruck = kind === 'kill' ? result.signal === 'SIGKILL' : struck !== undefined
      const isBeside = kind !== 'kill' && struck !== undefined && isOfNode(struck)
      return { result, isBeside, struck: isStruck ? `${sort} ${at}: ${struck ?? ''}` : undefined }
    },
  }
}

/** Of each sort, of each thread, the calls in their order. */
async function record(command: Command): Promise<ReadonlyMap<Sort, readonly (readonly string[])[]>> {
  const all = Object.values(sorts).join(',')
  const { log } = await runWithStrace(command, ['-e', `trace=${all}`])
  const found = new Map<Sort, Map<string, string[]>>()
  for (const line of log.split('\n')) {
    const [, thread, name = ''] = /^(\d+) +(\w+)\(/.exec(line) ?? []
    const sort = sortOf(name)
    if (thread === undefined || sort === undefined) continue
    const threads = found.get(sort) ?? new Map<string, string[]>()
    found.set(sort, threads)
    const calls = threads.get(thread) ?? []
    threads.set(thread, [...calls, line])
  }
  return new Map([...found].map(([sort, threads]) => [sort, [...threads.values()]]))
}

function sortOf(name: string): Sort | undefined {
  for (const [sort, names] of Object.entries(sorts))
    if (names.replaceAll('?', '').split(',').includes(name)) return isSort(sort) ? sort : undefined
  return undefined
}

const isSort = (name: string): name is Sort => name in sorts

/** Node's own business: loading programs, asking the kernel about itself, waking threads, talking on pipes. */
function isOfNode(line: string): boolean {
  if (/<(anon_inode|pipe|socket|UNIX|TCP)|\((0|1|2)</.test(line)) return true
  if (!line.includes('openat(')) return false
  return /"(\/(proc\/(?!self\/fd\/)|sys|dev|etc|lib|usr)|[^"]*\/(node_modules|src|bin|\.cache)\/|[^"]*package\.json)/.test(
    line,
  )
}

const straceKinds = ['kill', 'EIO', 'ENOSPC'] as const

function kindsFor(sort: Sort, lines: readonly string[]): readonly FaultKind[] {
  const isReading = sort === 'openat' && !lines.some((line) => line.includes('O_CREAT'))
  return straceKinds.filter((kind) => kind !== 'ENOSPC' || !(isReading || sort === 'unlink'))
}

const executable = join(import.meta.dirname, '..', '..', 'bin', 'holdfast')

async function runWithStrace(
  { args, options, folder }: Command,
  straceOptions: readonly string[],
): Promise<{ readonly result: HoldfastResult; readonly log: string }> {
  const logFile = join(folder, 'strace.log')
  const { asUser, config = '', env = {} } = options
  const tool = [process.execPath, executable, ...args]
  const child = spawn('strace', ['-f', '-y', '-o', logFile, ...straceOptions, ...tool], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
      HOME: tmpdir(),
      LC_ALL: 'C.UTF-8',
      HOLDFAST_CONFIG: config,
      XDG_STATE_HOME: join(dirname(config), 'state'),
      ...env,
      UV_THREADPOOL_SIZE: '1',
    },
    ...(asUser === undefined ? {} : identityOf(asUser)),
  })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  const result = { args, code: child.exitCode, signal: child.signalCode, stdout, stderr }
  return { result, log: await readFile(logFile, 'utf8') }
}

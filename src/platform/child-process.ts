import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { constants as osConstants } from 'node:os'
import { OperationError } from '../domain/operation-error.ts'

interface Identity {
  readonly cwd?: string
  /** The whole environment of the child. Default: empty; nothing of ours is inherited, secrets least of all. */
  readonly env?: Readonly<Record<string, string>>
  /** Run as this user and group, with no supplementary groups. Default: as we are. */
  readonly uid?: number
  readonly gid?: number
}

export interface ProcessOptions extends Identity {
  /** Written to the standard input, which is then closed. Default: no standard input. */
  readonly input?: string | Uint8Array
  /** When it passes, the whole process group is killed. Default: no limit. */
  readonly timeoutMs?: number
  /** When it is aborted, the whole process group is killed and the call rejects with its reason. */
  readonly signal?: AbortSignal
  /** How much of the standard output is kept, from its beginning. Default: 1 MiB. */
  readonly stdoutLimitBytes?: number
}

export interface ProcessResult {
  /** Undefined when a signal ended the process. */
  readonly exitCode: number | undefined
  readonly killedBy: NodeJS.Signals | undefined
  readonly timedOut: boolean
  readonly stdout: Buffer
  readonly isStdoutCut: boolean
  /** The last 64 KiB of it. */
  readonly stderr: string
}

const defaultStdoutLimitBytes = 1024 * 1024
const stderrLimitBytes = 64 * 1024

/**
 * Runs a program without a shell, in a process group of its own, until it and whatever holds its output have ended. An
 * exit code other than 0 is an answer, not an error; that the program cannot be started is an error.
 */
export async function runProcess(
  file: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<ProcessResult> {
  options.signal?.throwIfAborted()
  const child = spawn(file, args, {
    ...identityOf(options),
    detached: true,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  const stdout = captureHead(child, options.stdoutLimitBytes ?? defaultStdoutLimitBytes)
  const stderr = captureTail(child)
  feed(child, options.input)
  const timedOut = await ended(child, file, options)
  options.signal?.throwIfAborted()
  return {
    exitCode: child.exitCode ?? undefined,
    killedBy: child.signalCode ?? undefined,
    timedOut,
    stdout: stdout.bytes(),
    isStdoutCut: stdout.isCut(),
    stderr: stderr(),
  }
}

export interface ForegroundOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  /** When it is aborted, the program is asked to end. */
  readonly signal: AbortSignal
}

/**
 * Runs a program on our own terminal, in our process group, and gives its exit code; 128 and the number of a signal that
 * ended it, as a shell does.
 */
export async function runInForeground(
  file: string,
  args: readonly string[],
  { env, signal }: ForegroundOptions,
): Promise<number> {
  signal.throwIfAborted()
  const child = spawn(file, args, { env, stdio: 'inherit', shell: false })
  const end = (): void => void child.kill('SIGTERM')
  signal.addEventListener('abort', end)
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (cause) => {
        reject(startFailure(file, cause))
      })
      child.once('close', (code, killedBy) => {
        resolve(code ?? 128 + (killedBy === null ? 0 : osConstants.signals[killedBy]))
      })
    })
  } finally {
    signal.removeEventListener('abort', end)
  }
}

export interface DetachedOptions extends Identity {
  /** Standard output and standard error are appended here; the file is created for us alone. */
  readonly logFile: string
}

export interface DetachedProcess {
  readonly pid: number
  /** Resolves when the process ends. Waiting for it does not keep our process alive. */
  readonly exited: Promise<ProcessExit>
}

export interface ProcessExit {
  readonly exitCode: number | undefined
  readonly killedBy: NodeJS.Signals | undefined
}

/** Starts a program that may outlive us: no pipes between it and us, a session of its own. */
export async function spawnDetached(
  file: string,
  args: readonly string[],
  options: DetachedOptions,
): Promise<DetachedProcess> {
  const log = openLog(options.logFile)
  try {
    const child = spawn(file, args, { ...identityOf(options), detached: true, stdio: ['ignore', log, log] })
    const exited = new Promise<ProcessExit>((resolve) => {
      child.once('exit', (code, signal) => {
        resolve({ exitCode: code ?? undefined, killedBy: signal ?? undefined })
      })
    })
    await started(child, file)
    child.unref()
    const { pid } = child
    if (pid === undefined) throw startFailure(file, undefined)
    return { pid, exited }
  } finally {
    closeSync(log)
  }
}

/** False when no process of this id exists any more; the signal then goes nowhere. */
export function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false
    if (codeOf(error) === 'EPERM' && signal === 0) return true
    throw new OperationError('server-failed', `cannot send ${signal} to process ${Math.abs(pid)}`, {
      cause: error,
    })
  }
}

function identityOf({
  cwd,
  env,
  uid,
  gid,
}: Identity): Identity & { env: Record<string, string>; shell: false } {
  return {
    env: { ...env },
    shell: false,
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  }
}

/** True when the time limit ended it. */
async function ended(child: ChildProcess, file: string, options: ProcessOptions): Promise<boolean> {
  const limit = options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs)
  const signals = [options.signal, limit].filter((signal) => signal !== undefined)
  const killed = AbortSignal.any(signals)
  const kill = (): void => {
    if (child.pid !== undefined) sendSignal(-child.pid, 'SIGKILL')
  }
  killed.addEventListener('abort', kill)
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', (cause) => {
        reject(startFailure(file, cause))
      })
      // "close" comes after "exit", once nobody holds the pipes any more.
      child.once('close', () => {
        resolve()
      })
    })
  } finally {
    killed.removeEventListener('abort', kill)
  }
  return limit?.aborted === true && child.signalCode === 'SIGKILL'
}

async function started(child: ChildProcess, file: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (cause) => {
      reject(startFailure(file, cause))
    })
  })
}

function feed(child: ChildProcess, input: string | Uint8Array | undefined): void {
  if (input === undefined || child.stdin === null) return
  // A child that ends without reading its input breaks the pipe: its exit code says what that means.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
}

function captureHead(child: ChildProcess, limitBytes: number): { bytes: () => Buffer; isCut: () => boolean } {
  const chunks: Buffer[] = []
  let keptBytes = 0
  let isCut = false
  child.stdout?.on('data', (chunk: Buffer) => {
    const kept = chunk.subarray(0, limitBytes - keptBytes)
    isCut ||= kept.length < chunk.length
    keptBytes += kept.length
    if (kept.length > 0) chunks.push(kept)
  })
  return { bytes: () => Buffer.concat(chunks), isCut: () => isCut }
}

function captureTail(child: ChildProcess): () => string {
  let tail: Buffer = Buffer.alloc(0)
  child.stderr?.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-stderrLimitBytes)
  })
  return () => tail.toString('utf8')
}

function openLog(path: string): number {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants
  try {
    return openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600)
  } catch (cause) {
    throw new OperationError('file-unwritable', `cannot open log file "${path}"`, { cause })
  }
}

function startFailure(file: string, cause: unknown): OperationError {
  const isMissing = codeOf(cause) === 'ENOENT'
  return new OperationError(
    isMissing ? 'binaries-missing' : 'server-failed',
    `cannot start "${file}": ${isMissing ? 'it, its interpreter or its working directory does not exist' : String(cause)}`,
    { cause },
  )
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { OperationError } from '../domain/operation-error.ts'
import { sendSignal, type ProcessExit } from './child-process.ts'

export interface PipedOptions {
  /** The whole environment of the child: nothing of ours is inherited, secrets least of all. */
  readonly env: Readonly<Record<string, string>>
  /** When it is aborted, the whole process group is killed. */
  readonly signal: AbortSignal
  /** What the program reads. Default: nothing. It may end before it has read all of it. */
  readonly input?: AsyncIterable<Uint8Array>
}

interface PipedResult extends ProcessExit {
  /** The last 64 KiB of what it wrote there. */
  readonly stderr: string
}

/** A program at work on a stream. Disposing it kills its process group, unless it has ended. */
export interface PipedProcess extends AsyncDisposable {
  readonly pid: number
  /** What it writes, as it comes: it waits when nobody reads. Ends with the program, however that ended. */
  readonly output: Readable
  /** Resolves when the program and whatever holds its output have ended. Rejects with the reason of an abort, or when its input failed. */
  readonly ended: Promise<PipedResult>
}

const stderrLimitBytes = 64 * 1024

/**
 * Starts a program without a shell, in a process group of its own, whose standard output is read as a stream. Only its end
 * says whether what it wrote is whole. Throws `binaries-missing` when it cannot be started.
 */
export async function startPiped(
  file: string,
  args: readonly string[],
  { env, signal, input }: PipedOptions,
): Promise<PipedProcess> {
  signal.throwIfAborted()
  const child = spawn(file, args, {
    env: { ...env },
    shell: false,
    cwd: '/',
    detached: true,
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  const { stdout, stderr } = child
  if (stdout === null || stderr === null) throw new Error('a child without the pipes that were asked for')
  const errors = lastOf(stderr)
  const closed = once(child, 'close')
  closed.catch(() => undefined) // it could not be started, which is thrown below
  await spawned(child, file)
  const { pid } = child
  if (pid === undefined) throw new Error('a child that was started without a number')
  const kill = (): void => {
    if (isRunning(child)) sendSignal(-pid, 'SIGKILL')
  }
  signal.addEventListener('abort', kill, { once: true })
  const fed = feed(child, input, kill)
  const ended = async (): Promise<PipedResult> => {
    const [failure] = await Promise.all([fed, closed])
    signal.removeEventListener('abort', kill)
    signal.throwIfAborted()
    if (failure !== undefined) throw failure
    return {
      exitCode: child.exitCode ?? undefined,
      killedBy: child.signalCode ?? undefined,
      stderr: errors(),
    }
  }
  const result = ended()
  result.catch(() => undefined) // whoever asks for it is told
  return {
    pid,
    output: stdout,
    ended: result,
    [Symbol.asyncDispose]: async () => {
      kill()
      stdout.destroy()
      await result.catch(() => undefined)
    },
  }
}

const isRunning = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode === null && signalCode === null

async function spawned(child: ChildProcess, file: string): Promise<void> {
  try {
    await once(child, 'spawn')
  } catch (cause) {
    throw new OperationError('binaries-missing', `cannot start "${file}": ${String(cause)}`, { cause })
  }
}

const over: Promise<IteratorResult<Uint8Array>> = Promise.resolve({ done: true, value: undefined })

/** Gives what went wrong where the bytes come from: then the program must not take what it got for all of it. */
async function feed(
  child: ChildProcess,
  input: AsyncIterable<Uint8Array> | undefined,
  kill: () => void,
): Promise<Error | undefined> {
  if (input === undefined || child.stdin === null) return undefined
  let failure: Error | undefined
  const source = input[Symbol.asyncIterator]()
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    try {
      return await source.next()
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
      kill()
      throw failure
    }
  }
  // Only what the source throws is its failure: a broken pipe is thrown into it.
  const chunks: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({ next, return: () => source.return?.() ?? over }),
  }
  // A program that has read enough breaks the pipe, also after the pipeline has ended: its exit code says what that means.
  child.stdin.on('error', () => undefined)
  await pipeline(Readable.from(chunks), child.stdin).catch(() => undefined)
  return failure
}

function lastOf(stderr: Readable): () => string {
  let tail: Buffer = Buffer.alloc(0)
  stderr.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-stderrLimitBytes)
  })
  return () => tail.toString('utf8')
}

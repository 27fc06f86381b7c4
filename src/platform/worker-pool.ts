import assert from 'node:assert/strict'
import { getCompileCacheDir } from 'node:module'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker, type Transferable } from 'node:worker_threads'
import { OperationError } from '../domain/operation-error.ts'
import { processEnvironment } from './environment.ts'
import { reviveError, type WorkerAnswer } from './worker-message.ts'

interface WorkerPoolOptions {
  /** A script that ends in `serveWorker(...)`, as `new URL('./pack-worker.ts', import.meta.url)`. */
  readonly script: URL
  /** The most threads. They start when they are needed (about 30 ms) and stay until the pool is disposed of. */
  readonly size: number
  /** Copied to each worker when it starts. */
  readonly workerData?: unknown
  /** The most requests that wait for a worker: 1024. To go beyond it is a bug. */
  readonly mostWaiting?: number
}

interface RunOptions {
  /** Buffers of the request that move to the worker instead of being copied. */
  readonly transfer?: readonly Transferable[]
  readonly signal?: AbortSignal
}

interface Task<Request, Response> {
  readonly request: Request
  readonly transfer: readonly Transferable[]
  readonly resolve: (response: Response) => void
  readonly reject: (reason: unknown) => void
}

/** One thread, and the task that it is busy with. */
interface Thread<Request, Response> {
  readonly worker: Worker
  task: Task<Request, Response> | undefined
}

const defaultMostWaiting = 1024
/** Node's default of 48 lets each thread hold that much garbage; what our workers make lives shorter than one request. */
const youngGenerationMb = 12

/**
 * Threads that serve requests of one kind, first come, first served.
 *
 * A request ends in one of three ways. It is answered, by a response or by the error that the handler threw. Or its
 * signal is aborted: it leaves the queue, or its thread is terminated, and only then `run` rejects, so that nothing is
 * changed any more once it did. Or its thread dies (an uncaught error, out of memory): then this request alone is
 * rejected. Threads that are gone are replaced when the next request needs one; nothing is tried twice. A thread that
 * dies between requests rejects the next one, so that no failure passes unseen.
 */
export class WorkerPool<Request, Response> implements AsyncDisposable {
  readonly #options: WorkerPoolOptions
  readonly #threads = new Set<Thread<Request, Response>>()
  readonly #waiting: Task<Request, Response>[] = []
  /** Threads that are being terminated. */
  readonly #ending = new Set<Promise<unknown>>()
  #idleFailure: Error | undefined
  #isDisposed = false

  constructor(options: WorkerPoolOptions) {
    assert.ok(Number.isInteger(options.size) && options.size > 0)
    this.#options = options
  }

  /** Has a worker serve `request`. See the class for how it ends. */
  async run(request: Request, { transfer = [], signal }: RunOptions = {}): Promise<Response> {
    assert.ok(!this.#isDisposed, 'a pool that was disposed of takes no requests')
    assert.ok(
      this.#waiting.length < (this.#options.mostWaiting ?? defaultMostWaiting),
      'too many requests wait',
    )
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    const task = { request, transfer, resolve, reject }
    const abort = (): void => this.#abort(task, signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      this.#waiting.push(task)
      this.#dispatch()
      return await promise
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Ends all threads; when it resolves, none is left. Requests that are not answered are rejected with `cancelled`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true
    const closed = new OperationError('cancelled', `the work of "${this.#name}" was given up`)
    const threads = [...this.#threads]
    const unanswered = [...threads.flatMap(({ task }) => task ?? []), ...this.#waiting.splice(0)]
    for (const thread of threads) void this.#end(thread)
    await Promise.all(this.#ending)
    for (const task of unanswered) task.reject(closed)
  }

  get #name(): string {
    return basename(fileURLToPath(this.#options.script))
  }

  /** Gives waiting tasks to idle threads, and starts threads while there are fewer than the pool may have. */
  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const idle = [...this.#threads].find(({ task }) => task === undefined)
      const thread = idle ?? (this.#threads.size < this.#options.size ? this.#start() : undefined)
      const task = thread && this.#waiting.shift()
      if (task === undefined) return
      this.#assign(thread, task)
    }
  }

  #assign(thread: Thread<Request, Response> | undefined, task: Task<Request, Response>): void {
    if (thread === undefined) return
    if (this.#idleFailure) {
      task.reject(this.#idleFailure)
      this.#idleFailure = undefined
      return
    }
    try {
      thread.worker.postMessage(task.request, task.transfer)
      thread.task = task
    } catch (error) {
      task.reject(error) // the request cannot be cloned; the thread has seen nothing of it
    }
  }

  #start(): Thread<Request, Response> {
    const { script, workerData } = this.#options
    // Flags of the test runner or the inspector are none of a worker's business.
    const worker = new Worker(script, {
      workerData,
      name: this.#name,
      execArgv: [],
      env: workerEnvironment(),
      resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
    })
    const thread: Thread<Request, Response> = { worker, task: undefined }
    worker.on('message', (answer: WorkerAnswer<Response>) => this.#settle(thread, answer))
    worker.on('error', (cause) => this.#bury(thread, 'died', cause))
    worker.on('messageerror', (cause) => this.#bury(thread, 'gave an answer that cannot be read', cause))
    worker.on('exit', (code) => this.#bury(thread, `ended with exit code ${code}`))
    this.#threads.add(thread)
    return thread
  }

  #settle(thread: Thread<Request, Response>, answer: WorkerAnswer<Response>): void {
    const { task } = thread
    if (task === undefined) return // aborted or given up meanwhile
    thread.task = undefined
    if (answer.kind === 'done') task.resolve(answer.response)
    else task.reject(reviveError(answer.failure))
    this.#dispatch()
  }

  /** A thread is gone, or of no use any more. */
  #bury(thread: Thread<Request, Response>, how: string, cause?: unknown): void {
    if (!this.#threads.has(thread)) return
    const { task } = thread
    void this.#end(thread)
    const failure = new Error(`a worker thread of "${this.#name}" ${how}`, {
      ...(cause !== undefined && { cause }),
    })
    if (task === undefined) this.#idleFailure = failure
    else task.reject(failure)
    this.#dispatch()
  }

  #abort(task: Task<Request, Response>, reason: unknown): void {
    const position = this.#waiting.indexOf(task)
    const thread = [...this.#threads].find((each) => each.task === task)
    if (position !== -1) {
      this.#waiting.splice(position, 1)
      task.reject(reason)
    } else if (thread) {
      void this.#end(thread).then(() => task.reject(reason))
      this.#dispatch()
    }
  }

  /** What the thread still says is not heard any more. Resolves once it does nothing any more; never rejects. */
  async #end(thread: Thread<Request, Response>): Promise<void> {
    this.#threads.delete(thread)
    thread.task = undefined
    const ended = thread.worker.terminate()
    this.#ending.add(ended)
    await ended
    this.#ending.delete(ended)
  }
}

/**
 * With the compile cache of this thread, which a worker does not take over by itself: one that has to strip types starts
 * later and needs more memory.
 */
function workerEnvironment(): NodeJS.ProcessEnv {
  const directory = getCompileCacheDir()
  return { ...processEnvironment(), ...(directory !== undefined && { NODE_COMPILE_CACHE: directory }) }
}

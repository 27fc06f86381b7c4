import { extname } from 'node:path'
import type { RunContext } from '../domain/run-context.ts'
import { WorkerPool } from '../platform/worker-pool.ts'
import type { VerifyRequest, VerifyResponse, VerifySetup } from './verify-protocol.ts'

const workerScript = new URL(`./verify-worker${extname(import.meta.filename)}`, import.meta.url)

/** One worker of its own, because a row of WAL segments must be read by one worker from its beginning to its end. */
export class VerifyLane implements AsyncDisposable {
  readonly #pool: WorkerPool<VerifyRequest, VerifyResponse>
  readonly #context: RunContext

  constructor(setup: VerifySetup, context: RunContext) {
    this.#pool = new WorkerPool({ script: workerScript, size: 1, workerData: setup })
    this.#context = context
  }

  /** Objects move to the worker. Throws `damaged` and whatever else opening an object throws. */
  run(request: VerifyRequest): Promise<VerifyResponse> {
    const transfer = 'bytes' in request ? [request.bytes.buffer] : []
    return this.#pool.run(request, { transfer, signal: this.#context.signal })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#pool[Symbol.asyncDispose]()
  }
}

import assert from 'node:assert/strict'
import { parentPort, type MessagePort, type Transferable } from 'node:worker_threads'
import { carryError, type WorkerAnswer } from './worker-message.ts'

/** A response whose buffers move to the pool's thread instead of being copied. The worker cannot use them any more. */
export class TransferredResponse<Response> {
  readonly response: Response
  readonly transfer: readonly Transferable[]

  constructor(response: Response, transfer: readonly Transferable[]) {
    this.response = response
    this.transfer = transfer
  }
}

type Answer<Response> = Response | TransferredResponse<Response>

/** Serves one request. A loop that works long without awaiting should let the event loop turn now and then (R74). */
export type WorkerHandler<Request, Response> = (
  request: Request,
) => Answer<Response> | Promise<Answer<Response>>

/**
 * Makes this thread a worker of a `WorkerPool`: the last statement of a worker script. The handler is called with one
 * request at a time; what it throws rejects the request. What the script itself throws before ends the worker.
 */
export function serveWorker<Request, Response>(handler: WorkerHandler<Request, Response>): void {
  assert.ok(parentPort, 'a worker script runs in a worker thread')
  const port = parentPort
  port.on('message', (request: Request) => {
    void serve(port, handler, request)
  })
}

/** Never rejects: every failure, that of sending the answer too, becomes the answer. */
async function serve<Request, Response>(
  port: MessagePort,
  handler: WorkerHandler<Request, Response>,
  request: Request,
): Promise<void> {
  try {
    const answer = await handler(request)
    const isTransferred = answer instanceof TransferredResponse
    const done: WorkerAnswer<Response> = { kind: 'done', response: isTransferred ? answer.response : answer }
    port.postMessage(done, isTransferred ? answer.transfer : [])
  } catch (error) {
    const failed: WorkerAnswer<Response> = { kind: 'failed', failure: carryError(error) }
    port.postMessage(failed)
  }
}

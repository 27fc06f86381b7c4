// The worker of worker-pool.test.ts.
import { workerData } from 'node:worker_threads'
import { OperationError } from '../domain/operation-error.ts'
import { serveWorker, TransferredResponse } from './worker-server.ts'

export type TestRequest =
  | { readonly kind: 'add'; readonly number: number }
  | { readonly kind: 'fill'; readonly buffer: ArrayBuffer }
  | { readonly kind: 'fail' | 'break' | 'exit' | 'crash' | 'crash-later' | 'unsendable' }
  | { readonly kind: 'spin'; readonly counter: Int32Array }

export type TestResponse = number | ArrayBuffer | (() => void)

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what worker-pool.test.ts gives
const { base } = workerData as { readonly base: number }
if (Number.isNaN(base)) throw new Error('no base')

serveWorker<TestRequest, TestResponse>((request) => serve(request))

function serve(
  request: TestRequest,
): TestResponse | TransferredResponse<TestResponse> | Promise<TestResponse> {
  switch (request.kind) {
    case 'add':
      return base + request.number
    case 'fill':
      new Uint8Array(request.buffer).fill(7)
      return new TransferredResponse(request.buffer, [request.buffer])
    case 'spin':
      return spin(request.counter)
    case 'fail':
      throw new OperationError('damaged', 'opening "k": no', { hint: 'Look.', cause: new Error('deeper') })
    case 'break':
      throw new TypeError('a mistake')
    case 'exit':
      return process.exit(3)
    case 'crash':
      return crash()
    case 'crash-later':
      setImmediate(() => {
        throw new Error('too late')
      })
      return 1
    case 'unsendable':
      return () => undefined
  }
}

/** Works without end and without ever letting the event loop turn. */
function spin(counter: Int32Array): never {
  for (;;) Atomics.add(counter, 0, 1)
}

function crash(): Promise<TestResponse> {
  setImmediate(() => {
    throw new Error('uncaught')
  })
  return Promise.withResolvers<TestResponse>().promise
}

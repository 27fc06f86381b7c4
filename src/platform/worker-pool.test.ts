import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { isOperationError } from '../domain/operation-error.ts'
import type { TestRequest, TestResponse } from './pool-test-worker.ts'
import { WorkerPool } from './worker-pool.ts'

describe('WorkerPool', () => {
  test('answers every request, many more than it has threads', async () => {
    await using pool = poolOf(2)
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, number) => pool.run({ kind: 'add', number })),
    )

    assert.deepEqual(
      answers,
      Array.from({ length: 50 }, (_, number) => 100 + number),
    )
  })

  test('serves in the order of asking', async () => {
    await using pool = poolOf(1)
    const order: number[] = []

    await Promise.all(
      [3, 1, 2].map(async (number) => {
        await pool.run({ kind: 'add', number })
        order.push(number)
      }),
    )

    assert.deepEqual(order, [3, 1, 2])
  })

  test('moves buffers there and back without a copy', async () => {
    await using pool = poolOf(1)
    const buffer = new ArrayBuffer(1000)

    const filled = await pool.run({ kind: 'fill', buffer }, { transfer: [buffer] })

    assert.equal(buffer.detached, true)
    assert.ok(filled instanceof ArrayBuffer)
    assert.ok(new Uint8Array(filled).every((byte) => byte === 7))
  })

  test('rejects with the OperationError that the handler threw: code, hint and cause', async () => {
    await using pool = poolOf(1)

    await assert.rejects(pool.run({ kind: 'fail' }), (error) => {
      assert.ok(isOperationError(error, 'damaged'))
      assert.equal(describeError(error), 'opening "k": no, deeper')
      assert.equal(error.hint, 'Look.')
      return true
    })
    assert.equal(await pool.run({ kind: 'add', number: 1 }), 101)
  })

  test('rejects with other errors by name and message', async () => {
    await using pool = poolOf(1)

    await assert.rejects(pool.run({ kind: 'break' }), { name: 'TypeError', message: 'a mistake' })
  })

  test('rejects only the request whose thread dies, and goes on with another thread', async () => {
    await using pool = poolOf(1)
    const [died, exited, answered] = await Promise.allSettled([
      pool.run({ kind: 'crash' }),
      pool.run({ kind: 'exit' }),
      pool.run({ kind: 'add', number: 5 }),
    ])

    assert.match(reasonOf(died), /^a worker thread of "pool-test-worker.ts" died, uncaught$/)
    assert.match(reasonOf(exited), /ended with exit code 3/)
    assert.deepEqual(answered, { status: 'fulfilled', value: 105 })
  })

  test('does not swallow that a thread dies between requests', async () => {
    await using pool = poolOf(1)
    await pool.run({ kind: 'crash-later' })
    const reasons: string[] = []

    while (reasons.length === 0) {
      await turn()
      await pool.run({ kind: 'add', number: 1 }).catch((error: unknown) => reasons.push(describeError(error)))
    }

    assert.match(reasons.join('\n'), /too late/)
    assert.equal(await pool.run({ kind: 'add', number: 1 }), 101)
  })

  test('rejects each request when the script cannot start', async () => {
    await using pool = poolOf(2, Number.NaN)

    for (let attempt = 0; attempt < 3; attempt += 1) {
      await assert.rejects(pool.run({ kind: 'add', number: 1 }), (error) =>
        describeError(error).includes('no base'),
      )
    }
  })

  test('rejects a request or an answer that cannot be cloned, and keeps the thread', async () => {
    await using pool = poolOf(1)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the mistake that is to be found
    const unclonable = { kind: 'add', number: () => undefined } as unknown as TestRequest

    await assert.rejects(pool.run(unclonable), { name: 'DataCloneError' })
    await assert.rejects(pool.run({ kind: 'unsendable' }), { name: 'DataCloneError' })
    assert.equal(await pool.run({ kind: 'add', number: 1 }), 101)
  })

  test('ends a running request when it is aborted, even one that never lets go, and changes nothing after', async () => {
    await using pool = poolOf(1)
    const controller = new AbortController()
    const counter = new Int32Array(new SharedArrayBuffer(4))
    const running = pool.run({ kind: 'spin', counter }, { signal: controller.signal })
    const next = pool.run({ kind: 'add', number: 2 })
    while (Atomics.load(counter, 0) === 0) await turn()

    controller.abort(new Error('enough'))

    await assert.rejects(running, { message: 'enough' })
    const counted = Atomics.load(counter, 0)
    assert.equal(await next, 102)
    assert.equal(Atomics.load(counter, 0), counted)
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  })

  test('takes an aborted request out of the queue', async () => {
    await using pool = poolOf(1)
    const controller = new AbortController()
    const first = pool.run({ kind: 'add', number: 1 })
    const waiting = pool.run({ kind: 'spin', counter: new Int32Array(1) }, { signal: controller.signal })

    controller.abort(new Error('changed my mind'))

    await assert.rejects(waiting, { message: 'changed my mind' })
    assert.equal(await first, 101)
    await assert.rejects(pool.run({ kind: 'add', number: 1 }, { signal: controller.signal }), {
      message: 'changed my mind',
    })
  })

  test('leaves no listener on the signal of a request that was answered', async () => {
    await using pool = poolOf(1)
    const { signal } = new AbortController()

    await pool.run({ kind: 'add', number: 1 }, { signal })

    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  test('rejects what is not answered when it is disposed of', async () => {
    const pool = poolOf(1)
    const results = Promise.allSettled([
      pool.run({ kind: 'spin', counter: new Int32Array(1) }),
      pool.run({ kind: 'add', number: 1 }),
    ])

    await pool[Symbol.asyncDispose]()

    for (const result of await results)
      assert.equal(reasonOf(result), 'the work of "pool-test-worker.ts" was given up')
    await assert.rejects(pool.run({ kind: 'add', number: 1 }), { name: 'AssertionError' })
  })

  test('holds a bounded number of waiting requests', async () => {
    await using pool = new WorkerPool<TestRequest, TestResponse>({
      script,
      size: 1,
      workerData: { base: 0 },
      mostWaiting: 2,
    })
    const taken = [1, 2, 3].map((number) => pool.run({ kind: 'add', number }))

    await assert.rejects(pool.run({ kind: 'add', number: 4 }), { name: 'AssertionError' })
    assert.deepEqual(await Promise.all(taken), [1, 2, 3])
  })
})

const script = new URL('pool-test-worker.ts', import.meta.url)

function poolOf(size: number, base = 100): WorkerPool<TestRequest, TestResponse> {
  return new WorkerPool({ script, size, workerData: { base } })
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}, ${error.cause.message}` : error.message
}

function reasonOf(result: PromiseSettledResult<unknown> | undefined): string {
  return result?.status === 'rejected' ? describeError(result.reason) : 'not rejected'
}

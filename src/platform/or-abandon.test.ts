import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { orAbandon } from './or-abandon.ts'

describe('orAbandon', () => {
  test('gives what the work comes to, also shortly after the abort', async () => {
    const controller = new AbortController()
    const work = new Promise<string>((resolve) => {
      setTimeout(() => resolve('done'), 20)
    })
    controller.abort(new Error('too late'))

    assert.equal(await orAbandon(work, controller.signal), 'done')
    await assert.rejects(orAbandon(Promise.reject(new Error('failed')), controller.signal), /failed/)
  })

  test('rejects with the reason when the work hangs', async () => {
    const controller = new AbortController()
    const never = Promise.withResolvers<undefined>()
    controller.abort(new Error('too late'))

    await assert.rejects(orAbandon(never.promise, controller.signal), /too late/)
  })
})

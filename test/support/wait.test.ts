import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { waitUntil } from './wait.ts'

describe('waitUntil', () => {
  test('returns the first answer that is neither undefined nor false', async () => {
    const answers = [undefined, false, 0]

    assert.equal(await waitUntil('an answer', () => answers.shift(), { intervalMs: 1 }), 0)
  })

  test('names what it waited for when the time is up, with the last error as cause', async () => {
    const waiting = waitUntil('the moon', () => Promise.reject(new Error('clouds')), {
      timeoutMs: 5,
      intervalMs: 1,
    })

    await assert.rejects(waiting, { message: 'not within 5 ms: the moon', cause: new Error('clouds') })
  })
})

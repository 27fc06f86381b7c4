import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createScratch } from '../../test/support/scratch.ts'
import { sendRequest, serveRequests } from './request-socket.ts'

const { signal } = new AbortController()

describe('a request socket', () => {
  test('answers one request after the other, and all that it has taken when it is closed', async () => {
    await using scratch = await createScratch('ask')
    const path = join(scratch.folder, 'socket')
    let atOnce = 0
    let most = 0
    const asked: Promise<string | undefined>[] = []
    {
      await using _ = await serveRequests(path, async (request) => {
        atOnce += 1
        most = Math.max(most, atOnce)
        await new Promise(setImmediate)
        atOnce -= 1
        return `${request}!`
      })
      for (const request of ['one', 'two', 'three']) asked.push(sendRequest(path, request, signal))
      await asked[0]
    }

    const answers = await Promise.all(asked)

    assert.equal(answers[0], 'one!')
    for (const [index, request] of ['one', 'two', 'three'].entries())
      assert.ok(answers[index] === `${request}!` || answers[index] === undefined)
    assert.equal(most, 1)
    assert.equal(await sendRequest(path, 'late', signal), undefined)
  })

  test('answers no request that is longer than any of ours, and lets an asker give up', async () => {
    await using scratch = await createScratch('long')
    const path = join(scratch.folder, 'socket')
    const stop = new AbortController()
    const answers: string[] = []
    const gate = Promise.withResolvers<string>()
    await using _ = await serveRequests(path, (request) => {
      answers.push(request)
      return gate.promise
    })

    const long = await sendRequest(path, 'x'.repeat(100_000), signal)
    const given = sendRequest(path, 'wait', stop.signal)
    setImmediate(() => {
      stop.abort(new Error('enough'))
    })

    assert.equal(long, undefined)
    await assert.rejects(given, /enough/)
    gate.resolve('')
    assert.ok(answers.every((request) => request === 'wait'))
  })
})

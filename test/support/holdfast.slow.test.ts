import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { expectOk, runHoldfast } from './holdfast.ts'
import { serverUser } from './server-user.ts'

describe('runHoldfast', () => {
  test('gives code and output, also of a command that fails', async () => {
    const result = await runHoldfast(['no-such-command'], { asUser: serverUser() })

    assert.deepEqual([result.code, result.signal], [2, null])
    assert.match(result.stderr, /no-such-command/)
    assert.throws(
      () => expectOk(result),
      /"holdfast no-such-command" exited with 2\nstderr:\n.*no-such-command/,
    )
  })

  test('kills a command that takes too long', async () => {
    const result = await runHoldfast(['version'], { timeoutMs: 1, input: 'not read', config: '/nonexistent' })

    assert.deepEqual([result.code, result.signal], [null, 'SIGKILL'])
    assert.throws(() => expectOk(result), /was killed by SIGKILL/)
  })
})

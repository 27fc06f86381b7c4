import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { failureExitCode, immediateExitCode } from './failure-exit-code.ts'

describe('failureExitCode', () => {
  test('lets archive-get never look like the end of the WAL (M1)', () => {
    for (const exitCode of [1, 2, 3, 4, 5, 6]) {
      assert.equal(failureExitCode(['archive-get', 'a', 'b'], exitCode), 126)
      assert.equal(failureExitCode(['--nonsense', 'x', 'archive-get'], exitCode), 126)
    }
  })

  test('lets archive-get be retried by a standby (M2)', () => {
    assert.equal(failureExitCode(['archive-get', '--mode', 'standby', 'a', 'b'], 2), 1)
    assert.equal(failureExitCode(['archive-get', '--mode=standby', 'a', 'b'], 5), 1)
    assert.equal(failureExitCode(['archive-get', '--mode=standby', '--mode=recovery'], 5), 126)
  })

  test('keeps archive-push between 1 and 5', () => {
    assert.deepEqual(
      [1, 2, 5, 6, 0, 130].map((exitCode) => failureExitCode(['archive-push', 'p'], exitCode)),
      [1, 2, 5, 1, 1, 1],
    )
  })

  test('leaves every other command its own', () => {
    assert.equal(failureExitCode(['info'], 6), 6)
  })
})

describe('immediateExitCode', () => {
  test('is there for archive-get stopped by PostgreSQL only', () => {
    assert.equal(immediateExitCode(['archive-get'], 'SIGTERM'), 143)
    assert.equal(immediateExitCode(['archive-get'], 'SIGINT'), undefined)
    assert.equal(immediateExitCode(['backup'], 'SIGTERM'), undefined)
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { copiesRequired } from './archive-policy.ts'

describe('copiesRequired', () => {
  test('takes more than half for a quorum, so that two of them always share a repository (N15)', () => {
    const counts = [1, 2, 3, 4, 5]

    assert.deepEqual(
      counts.map((count) => copiesRequired('quorum', count)),
      [1, 2, 2, 3, 3],
    )
    assert.deepEqual(
      counts.map((count) => copiesRequired('all', count)),
      counts,
    )
    assert.deepEqual(
      counts.map((count) => copiesRequired('one', count)),
      [1, 1, 1, 1, 1],
    )
  })
})

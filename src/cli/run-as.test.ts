import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decideUser } from './run-as.ts'

const nothing = { isRoot: true, runAs: undefined, dataDirectoryOwner: undefined, socketOwner: undefined }

describe('decideUser', () => {
  test('changes nothing for anybody but root', () => {
    assert.deepEqual(
      decideUser({ isRoot: false, runAs: 'postgres', dataDirectoryOwner: 101, socketOwner: 101 }),
      {
        kind: 'stay',
      },
    )
  })

  test('takes run-as before the owners', () => {
    assert.deepEqual(decideUser({ ...nothing, runAs: 'pg', dataDirectoryOwner: 101, socketOwner: 102 }), {
      kind: 'become',
      user: 'pg',
      because: 'run-as names it',
    })
  })

  test('takes the owner of the data directory before that of the socket', () => {
    assert.deepEqual(decideUser({ ...nothing, dataDirectoryOwner: 101, socketOwner: 102 }), {
      kind: 'become',
      user: 101,
      because: 'it owns the data directory',
    })
  })

  test('takes the owner of the socket when there is no data directory yet, or root owns it', () => {
    for (const dataDirectoryOwner of [undefined, 0]) {
      assert.deepEqual(decideUser({ ...nothing, dataDirectoryOwner, socketOwner: 102 }), {
        kind: 'become',
        user: 102,
        because: "it owns the server's socket",
      })
    }
  })

  test('does not stay root when nothing says who owns the cluster', () => {
    assert.deepEqual(decideUser(nothing), { kind: 'undecided' })
    assert.deepEqual(decideUser({ ...nothing, dataDirectoryOwner: 0, socketOwner: 0 }), { kind: 'undecided' })
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { findUnixUser, parseGroups, parsePasswd } from './unix-user.ts'

const passwd = `root:x:0:0:root:/root:/bin/bash
# a comment:x:1:1::/:
postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash
+@netgroup::::::
short:x:1
odd:x:minus:1::/:/bin/sh
`

describe('parsePasswd', () => {
  test('reads the users and passes over what is not one', () => {
    assert.deepEqual(parsePasswd(passwd), [
      { name: 'root', uid: 0, gid: 0, home: '/root' },
      { name: 'postgres', uid: 101, gid: 104, home: '/var/lib/postgresql' },
    ])
  })

  test('survives any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parsePasswd(text)
      }),
    )
  })
})

describe('parseGroups', () => {
  test('reads the groups with their members and passes over what is not one', () => {
    assert.deepEqual(parseGroups('root:x:0:\nssl-cert:x:103:postgres, me\n#x:x:1:a\n+:::\nshort:x\n'), [
      { gid: 0, members: [''] },
      { gid: 103, members: ['postgres', 'me'] },
    ])
  })
})

describe('findUnixUser', () => {
  test('finds root by name and by uid', () => {
    assert.equal(findUnixUser('root')?.uid, 0)
    assert.equal(findUnixUser(0)?.name, 'root')
  })

  test('knows when there is no such user', () => {
    assert.equal(findUnixUser('no such user'), undefined)
  })
})

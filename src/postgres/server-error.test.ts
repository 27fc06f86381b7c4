import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DatabaseError } from 'pg'
import { parseConninfo } from './conninfo.ts'
import { isServerAnswer, isServerStarting, toOperationError } from './server-error.ts'

describe('toOperationError', () => {
  test('takes no error of a socket for an answer of the server, though its code looks like an SQLSTATE', () => {
    for (const code of ['EPIPE', 'ECONNRESET', 'ECONNREFUSED']) {
      const cause = Object.assign(new Error(`write ${code}`), { code })

      const error = toOperationError(cause, conninfo, { doing: 'connecting' })

      assert.equal(error.code, 'server-unreachable')
      assert.ok(!isServerAnswer(error))
      assert.match(error.hint ?? '', /server/)
    }
  })

  test('keeps what the server answered', () => {
    const cause = Object.assign(new DatabaseError('the database system is starting up', 0, 'error'), {
      code: '57P03',
    })

    const error = toOperationError(cause, conninfo, { doing: 'connecting' })

    assert.equal(error.code, 'server-unreachable')
    assert.ok(isServerAnswer(error) && isServerStarting(error))
  })
})

const conninfo = parseConninfo('host=/tmp port=5432', { user: 'me' })

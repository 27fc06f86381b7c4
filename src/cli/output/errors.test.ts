import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { OperationError } from '../../domain/operation-error.ts'
import { errorDocument, formatError } from './errors.ts'
import { plain } from './text.ts'

const quiet = { style: plain, isDebug: false }
const debug = { style: plain, isDebug: true }

describe('formatError', () => {
  test('prints the message and the hint', () => {
    const error = new OperationError('busy', 'taking the lock: held', {
      hint: 'Wait.',
      cause: new Error('inner'),
    })

    assert.equal(formatError(error, quiet), 'error: taking the lock: held\nhint: Wait.\n')
  })

  test('prints causes when debugging, however they are chained', () => {
    const inner = new Error('inner')
    inner.cause = inner
    const error = new OperationError('busy', 'outer', {
      cause: new OperationError('busy', 'middle', { cause: inner }),
    })

    const lines = formatError(error, debug).split('\n')
    assert.deepEqual(lines.slice(0, 3), ['error: outer', 'debug: middle', 'debug: Error: inner'])
    assert.ok(lines.length < 500)
  })

  test('marks every line of a message that has several', () => {
    assert.equal(formatError(new OperationError('config-invalid', 'a\nb'), quiet), 'error: a\nerror: b\n')
  })

  test('calls a mistake of ours by its name, with the stack when debugging', () => {
    const error = new TypeError('x is not a function')

    assert.match(
      formatError(error, quiet),
      /^error: internal error: x is not a function\nhint: This is a mistake in holdfast/,
    )
    assert.match(formatError(error, debug), /debug: TypeError: x is not a function\ndebug: {5}at /)
    assert.match(formatError(undefined, debug), /^error: internal error/)
  })

  test('says what the disk said, also where nobody has explained it (U4)', () => {
    const failed = { errno: -5, code: 'EIO', syscall: 'rename', path: '/a/b' }
    const error = Object.assign(new Error('EIO: i/o error, rename'), failed)

    assert.match(
      formatError(error, quiet),
      /^error: rename of "\/a\/b": i\/o error \(EIO\)\nhint: Look into the system log/,
    )
    assert.equal(errorDocument(error, 1).error.code, 'file-unwritable')
    const full = Object.assign(new Error('x'), { errno: -28, code: 'ENOSPC' })
    assert.equal(errorDocument(full, 1).error.code, 'no-space')
    const absent = Object.assign(new Error('ENOENT: x'), { errno: -2, code: 'ENOENT' })
    assert.match(formatError(absent, quiet), /^error: internal error/)
  })

  test('shows no secret, whoever put it there (RULES 4.2)', () => {
    for (const text of [
      'FATAL: connection "host=db password=canary user=x"',
      "password = 'can\\'canary ary'",
      'GET https://me:canary@host/x',
      'Authorization: AWS4-HMAC-SHA256 Credential=canary',
      '{"authorization": "Bearer canary"}',
      'X?X-Amz-Security-Token=canary&a=b',
    ]) {
      const cause = new Error(text)
      assert.doesNotMatch(
        formatError(new OperationError('busy', text, { cause, hint: text }), debug),
        /canary/,
      )
      assert.doesNotMatch(formatError(cause, debug), /canary/)
      assert.doesNotMatch(JSON.stringify(errorDocument(cause, 1)), /canary/)
    }
  })
})

describe('errorDocument', () => {
  test('says the same to programs', () => {
    assert.deepEqual(errorDocument(new OperationError('busy', 'm', { hint: 'H.' }), 1), {
      version: 1,
      error: { code: 'busy', message: 'm', hint: 'H.', exitCode: 1 },
    })
    assert.equal(errorDocument(new Error('x'), 126).error.code, 'internal')
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { lastLines } from './last-lines.ts'

describe('lastLines', () => {
  test('gives the last five', () => {
    assert.equal(lastLines('1\n2\n3\n 4\n5\n6\n'), '2; 3; 4; 5; 6')
  })

  test('begins with the error when a long statement follows it', () => {
    const statement = Array.from({ length: 9 }, (_, index) => `line ${index}`).join('\n')
    const said = `pg_restore: while PROCESSING TOC:\npg_restore: error: could not execute query: ERROR:  role "a" does not exist\n${statement}\n`

    assert.match(lastLines(said), /^pg_restore: error: .*does not exist; line 0; line 1; line 2; line 3$/)
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { connectionFault } from './check-connection.ts'

describe('connectionFault', () => {
  test('finds nothing wrong with keywords, quoted values and URIs without a password', () => {
    for (const connection of [
      'host=/var/run/postgresql port=5432 user=postgres dbname=postgres',
      "host = 'a b'  application_name='it\\'s'",
      'user=',
      'postgresql://postgres@db1,db2:5433/postgres?sslmode=verify-full',
      'postgres://[::1]/x',
    ]) {
      assert.equal(connectionFault(connection), undefined, connection)
    }
  })

  test('finds passwords and other secrets (RULES 4.2)', () => {
    for (const connection of [
      'host=db password=canary',
      "password = 'can ary' host=db",
      'host=db sslpassword=canary',
      'postgresql://me:canary@db/x',
      'postgresql://db/x?user=me&password=canary',
    ]) {
      const fault = connectionFault(connection)
      assert.match(fault ?? '', /password/, connection)
      assert.doesNotMatch(fault ?? '', /canary/)
    }
  })

  test('finds what is not a connection string', () => {
    for (const connection of ['localhost', 'host=a port', "host='open", 'host=a=b c']) {
      assert.match(connectionFault(connection) ?? '', /keyword=value/, connection)
    }
  })

  test('takes a time that grows with the length only, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 2000 }), (text) => {
        connectionFault(text)
      }),
    )
    connectionFault(`host=${'\\ '.repeat(50_000)}'`)
  })
})

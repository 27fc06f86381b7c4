import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { clusterConnection, socketOf } from './cluster-connection.ts'

describe('clusterConnection', () => {
  test('takes what the connection string leaves open from the environment, as libpq does', () => {
    const variables = { PGHOST: '/run/pg', PGPORT: '5433', PGUSER: 'keeper', PGDATABASE: '' }

    const { host, port, user, dbname } = clusterConnection(
      { connection: 'port=5434', passfile: undefined },
      variables,
    )

    assert.deepEqual(
      { host, port, user, dbname },
      { host: '/run/pg', port: 5434, user: 'keeper', dbname: 'keeper' },
    )
  })

  test('uses the passfile of the configuration instead of a password of the environment', () => {
    const settings = { connection: 'host=/run/pg user=keeper', passfile: '/etc/pass' }

    const { passfile, password, defaultPassfile } = clusterConnection(settings, { PGPASSWORD: 'secret' })

    assert.deepEqual([passfile, password, defaultPassfile], ['/etc/pass', undefined, undefined])
  })
})

describe('socketOf', () => {
  test('names the socket of a server that is reached through one', () => {
    assert.equal(socketOf({ host: '/run/pg', port: 5433 }), '/run/pg/.s.PGSQL.5433')
    assert.equal(socketOf({ host: 'db.example', port: 5433 }), undefined)
  })
})

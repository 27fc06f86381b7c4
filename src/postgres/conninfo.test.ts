import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isOperationError } from '../domain/operation-error.ts'
import { describeConninfo, parseConninfo } from './conninfo.ts'

describe('parseConninfo', () => {
  test('takes defaults for what is not given', () => {
    const conninfo = parse('')

    assert.equal(conninfo.host, '/var/run/postgresql')
    assert.equal(conninfo.port, 5432)
    assert.equal(conninfo.user, 'me')
    assert.equal(conninfo.dbname, 'me')
    assert.equal(conninfo.sslmode, 'prefer')
    assert.equal(conninfo.applicationName, 'holdfast')
    assert.equal(conninfo.connectTimeoutMs, 10_000)
  })

  test('reads keywords with quotes, backslashes and blanks', () => {
    const conninfo = parse(
      String.raw`host = 'my host' user=a\ b  password='it\'s \\ here' dbname= db port=6000`,
    )

    assert.equal(conninfo.host, 'my host')
    assert.equal(conninfo.user, 'a b')
    assert.equal(conninfo.password, String.raw`it's \ here`)
    assert.equal(conninfo.dbname, 'db')
    assert.equal(conninfo.port, 6000)
  })

  test('reads an address with percent sequences and parameters', () => {
    const conninfo = parse(
      'postgresql://us%3Aer:p%40ss@%2Frun%2Fpg:6000/d%20b?application_name=x%26y&connect_timeout=3&options=-c%20a%3Db',
    )

    assert.equal(conninfo.user, 'us:er')
    assert.equal(conninfo.password, 'p@ss')
    assert.equal(conninfo.host, '/run/pg')
    assert.equal(conninfo.port, 6000)
    assert.equal(conninfo.dbname, 'd b')
    assert.equal(conninfo.applicationName, 'x&y')
    assert.equal(conninfo.connectTimeoutMs, 3000)
    assert.equal(conninfo.options, '-c a=b')
  })

  test('reads short addresses, IPv6 and the host as a parameter', () => {
    assert.equal(parse('postgres://').host, '/var/run/postgresql')
    assert.equal(parse('postgresql://[::1]:5433/').host, '::1')
    assert.equal(parse('postgresql:///db?host=/tmp').host, '/tmp')
    assert.equal(parse('postgresql://host/db').dbname, 'db')
  })

  test('takes dbname as a name, never as another connection string', () => {
    assert.equal(parse("dbname='x host=evil'").dbname, 'x host=evil')
    assert.equal(parse("dbname='x host=evil'").host, '/var/run/postgresql')
    assert.equal(parse('postgresql://h/postgresql%3A%2F%2Fevil').dbname, 'postgresql://evil')
  })

  const refused: readonly [string, string, RegExp][] = [
    ['an unknown keyword', 'hots=x', /unknown keyword "hots"/],
    ['an unknown parameter', 'postgresql://h/?krbsrvname=x', /unknown keyword "krbsrvname"/],
    ['a word without a value', 'host', /missing "="/],
    ['an open quote', "host='x", /no closing quote/],
    ['a bad percent sequence', 'postgresql://h/%zz', /invalid percent sequence/],
    ['a zero byte', 'postgresql://h/a%00b', /zero byte/],
    ['two hosts', 'host=a,b', /more than one host/],
    ['a port out of range', 'port=65536', /port is "65536"/],
    ['an unknown sslmode', 'sslmode=allow', /sslmode is "allow"/],
    ['verification without a root certificate', 'sslmode=verify-full', /no sslrootcert/],
    ['a certificate without its key', 'sslcert=/c', /belong together/],
    ['a second address', 'postgresql://a@b@c/', /not of the form/],
  ]
  for (const [what, text, message] of refused) {
    test(`refuses ${what}`, () => {
      assert.throws(
        () => parse(text),
        (error) => isOperationError(error, 'config-invalid') && message.test(error.message),
      )
    })
  }

  test('never shows a password in an error', () => {
    for (const text of [
      'host=x password',
      "password='s3cret",
      'password=s3cret x',
      'postgresql://u:s3cret@h@i/',
    ]) {
      assert.throws(
        () => parse(text),
        (error) => error instanceof Error && !error.message.includes('s3cret'),
      )
    }
  })

  test('reads back any value that was quoted', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (value) => {
        fc.pre(!value.includes('\0'))
        const quoted = value.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)

        assert.equal(parse(`dbname='${quoted}' port=1`).dbname, value)
        assert.equal(
          parse(`postgresql://h/?dbname=${encodeURIComponent(value.toWellFormed())}`).dbname,
          value.toWellFormed(),
        )
      }),
    )
  })

  test('answers any text with a value or a typed error', () => {
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (text, isUri) => {
        try {
          parse(isUri ? `postgresql://${text}` : text)
        } catch (error) {
          assert.ok(isOperationError(error, 'config-invalid'))
        }
      }),
    )
  })
})

describe('describeConninfo', () => {
  test('names server, database and user but not the password', () => {
    const text = describeConninfo(parse('host=db1 user=u password=s3cret dbname=d'))

    assert.equal(text, '"db1" port 5432, database "d", user "u"')
  })
})

function parse(text: string): ReturnType<typeof parseConninfo> {
  return parseConninfo(text, { user: 'me' })
}

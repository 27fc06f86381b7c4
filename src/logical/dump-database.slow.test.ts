import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { allBytes } from '../../test/support/all-bytes.ts'
import { recordingContext } from '../../test/support/archive-fixture.ts'
import { clientMajor, installClientPrograms } from '../../test/support/client-programs.ts'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { createScratch, type Scratch } from '../../test/support/scratch.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { findClientPrograms, type ClientPrograms } from '../postgres/client-programs.ts'
import { parseConninfo } from '../postgres/conninfo.ts'
import { dumpDatabase, type DatabaseDump } from './dump-database.ts'
import { dumpGlobals } from './dump-globals.ts'
import { wholeDatabase, type DumpSelection } from './dump-selection.ts'

describe('dumpDatabase', () => {
  let scratch: Scratch
  let server: TestServer
  let programs: ClientPrograms
  before(async () => {
    scratch = await createScratch('dump')
    server = await startServer({ major: clientMajor, scratch })
    const configured = await installClientPrograms(scratch.folder)
    const version = { major: clientMajor, minor: 0 } as const
    programs = await findClientPrograms(version, { configured, searchPath: '' }, recordingContext())
    await server.query('create table t as select generate_series(1, 200000) as v')
    await server.query("create table much as select repeat('x', 1000) as v from generate_series(1, 30000)")
    await server.query(`create table "strange ""name" as select 'it''s' as text`)
  })
  after(async () => {
    await server[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  const dump = (selection: Partial<DumpSelection>, signal?: AbortSignal): Promise<DatabaseDump> =>
    dumpDatabase(
      {
        conninfo: parseConninfo(server.connectionString, { user: 'nobody' }),
        programs,
        selection: { ...wholeDatabase, format: 'plain', ...selection },
      },
      recordingContext(signal),
    )

  test('gives what was there when it began, and where the server was then and is now', async () => {
    await using begun = await dump({ tables: ['t', '"strange ""name"'] })
    await server.query('insert into t values (-1)')
    const text = (await allBytes(begun.chunks)).toString()

    assert.match(text, /^200000$/m)
    assert.doesNotMatch(text, /^-1$/m)
    assert.match(text, /CREATE TABLE public\."strange ""name"/)
    const { startLsn, stopLsn } = begun.window()
    assert.ok(startLsn < stopLsn)
  })

  test('dumps tables by pattern, and fails where a pattern matches none', async () => {
    await using one = await dump({ tables: ['"strange ""name"'], content: 'schema-only' })
    const text = (await allBytes(one.chunks)).toString()
    assert.match(text, /strange/)
    assert.doesNotMatch(text, /CREATE TABLE public\.t /)

    await using none = await dump({ tables: ['nowhere'] })
    await assert.rejects(
      allBytes(none.chunks),
      (error) =>
        isOperationError(error, 'dump-failed') && /ended with 1: .*no matching tables/.test(error.message),
    )
  })

  test('gives roles and tablespaces, with hashes of passwords or without', async () => {
    await server.query("create role somebody login password 'secret'")
    const connected = parseConninfo(server.connectionString, { user: 'nobody' })
    const globals = async (hasPasswords: boolean): Promise<string> =>
      (
        await allBytes(dumpGlobals({ conninfo: connected, programs, hasPasswords }, recordingContext()))
      ).toString()

    const [whole, without] = [await globals(true), await globals(false)]

    assert.match(whole, /CREATE ROLE somebody;[^]*PASSWORD 'SCRAM-SHA-256/)
    assert.match(without, /CREATE ROLE somebody;/)
    assert.doesNotMatch(without, /SCRAM/)
  })

  test('is none when the server, or pg_dump, goes away in the middle, or is given up (P11)', async () => {
    for (const [end, expected] of [
      [
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg_dump'",
        'dump-failed',
      ],
      [undefined, undefined],
    ] as const) {
      const abort = new AbortController()
      await using begun = await dump({}, abort.signal)
      const broken = async (): Promise<void> => {
        for await (const _ of begun.chunks) {
          if (end === undefined) abort.abort(new Error('given up'))
          else await server.query(end)
        }
      }
      await assert.rejects(broken(), (error) =>
        expected === undefined ? /given up/.test(String(error)) : isOperationError(error, expected),
      )
      assert.throws(() => begun.window(), /has not ended/)
    }
  })
})

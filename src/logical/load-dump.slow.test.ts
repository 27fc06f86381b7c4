import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { allBytes } from '../../test/support/all-bytes.ts'
import { recordingContext } from '../../test/support/archive-fixture.ts'
import { clientMajor, installClientPrograms } from '../../test/support/client-programs.ts'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { createScratch, type Scratch } from '../../test/support/scratch.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { findClientPrograms, type ClientPrograms } from '../postgres/client-programs.ts'
import { parseConninfo } from '../postgres/conninfo.ts'
import { dumpDatabase } from './dump-database.ts'
import { wholeDatabase, type StreamFormat } from './dump-selection.ts'
import { loadDump } from './load-dump.ts'
import { wholeDump, type LoadSelection } from './load-selection.ts'

describe('loadDump', () => {
  let scratch: Scratch
  let server: TestServer
  let programs: ClientPrograms
  const dumps = new Map<StreamFormat, Uint8Array>()
  before(async () => {
    scratch = await createScratch('load')
    server = await startServer({ major: clientMajor, scratch })
    const configured = await installClientPrograms(scratch.folder)
    const version = { major: clientMajor, minor: 0 } as const
    programs = await findClientPrograms(version, { configured, searchPath: '' }, recordingContext())
    await server.query('create table t as select i, md5(i::text) as text from generate_series(1, 5000) i')
    await server.query('create table other as select 1 as v')
    for (const format of ['custom', 'plain'] as const) {
      const selection = { ...wholeDatabase, format }
      await using dump = await dumpDatabase(
        { conninfo: conninfo('postgres'), programs, selection },
        recordingContext(),
      )
      dumps.set(format, await allBytes(dump.chunks))
    }
  })
  after(async () => {
    await server[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  const conninfo = (dbname: string): ReturnType<typeof parseConninfo> => ({
    ...parseConninfo(server.connectionString, { user: 'nobody' }),
    dbname,
  })
  const load = (
    dbname: string,
    selection: Partial<LoadSelection> & { readonly format?: StreamFormat },
    chunks = inPieces(dumps.get(selection.format ?? 'custom') ?? assert.fail()),
  ): Promise<void> =>
    loadDump(
      {
        conninfo: conninfo(dbname),
        programs,
        selection: { ...wholeDump, ...selection },
        chunks,
      },
      recordingContext(),
    )
  const create = async (dbname: string): Promise<string> => {
    await server.query(`create database "${dbname}"`)
    return dbname
  }
  const content = async (dbname: string): Promise<unknown> => {
    await using session = await server.session(dbname)
    return (await session.query('select count(*)::int, md5(string_agg(text, $$,$$ order by i)) from t')).rows
  }
  const tables = async (dbname: string): Promise<readonly string[]> => {
    await using session = await server.session(dbname)
    const { rows } = await session.query<{ relname: string }>(
      "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1",
    )
    return rows.map(({ relname }) => relname)
  }

  for (const format of ['custom', 'plain'] as const) {
    test(`gives back what was dumped, in a database with a name that misleads: ${format}`, async () => {
      const dbname = await create(`host=nowhere it's ${format}`)

      await load(dbname, { format })

      assert.deepEqual(await content(dbname), await content('postgres'))
    })

    test(`changes nothing when it fails, also in the middle, or when the dump is damaged: ${format}`, async () => {
      const dbname = await create(`failing-${format}`)
      await using session = await server.session(dbname)
      await session.query('create table t (i int)')

      await assert.rejects(
        load(dbname, { format }),
        (error) => isOperationError(error, 'load-failed') && /"t" already exists/.test(error.message),
      )
      await assert.rejects(load(dbname, { format }, damaged(dumps.get(format) ?? assert.fail())), (error) =>
        isOperationError(error, 'damaged'),
      )

      assert.deepEqual(await tables(dbname), ['t'])
    })
  }

  test('loads one table, and takes the place of what is there when it is told to', async () => {
    const dbname = await create('one')
    await load(dbname, { tables: ['t'] })
    assert.deepEqual(await tables(dbname), ['t'])

    await load(dbname, { tables: ['t'], isClean: true, hasNoOwner: true, hasNoPrivileges: true })

    assert.deepEqual(await content(dbname), await content('postgres'))
    await assert.rejects(load(dbname, { tables: ['nowhere'] }), (error) =>
      isOperationError(error, 'load-failed'),
    )
  })
})

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += 10_000)
    yield await Promise.resolve(bytes.subarray(at, at + 10_000))
}

async function* damaged(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes.subarray(0, 20_000))
  throw new OperationError('damaged', 'a part of the dump')
}

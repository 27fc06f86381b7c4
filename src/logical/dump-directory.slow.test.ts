import assert from 'node:assert/strict'
import { mkdtemp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { allBytes } from '../../test/support/all-bytes.ts'
import { recordingContext } from '../../test/support/archive-fixture.ts'
import { clientMajor, installClientPrograms } from '../../test/support/client-programs.ts'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { createScratch, type Scratch } from '../../test/support/scratch.ts'
import { mountTmpfs } from '../../test/support/small-disk.ts'
import { waitUntil } from '../../test/support/wait.ts'
import { readTar } from '../codec/tar.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { findClientPrograms, type ClientPrograms } from '../postgres/client-programs.ts'
import { parseConninfo, type Conninfo } from '../postgres/conninfo.ts'
import { dumpDatabase, type DatabaseDump } from './dump-database.ts'
import { wholeDatabase, type DumpSelection } from './dump-selection.ts'
import { loadDump } from './load-dump.ts'
import { wholeDump } from './load-selection.ts'
import { countContents } from './read-contents.ts'
import { writeDumpDirectory } from './write-dump-file.ts'

describe('a dump of the directory format', () => {
  let scratch: Scratch
  let server: TestServer
  let programs: ClientPrograms
  before(async () => {
    scratch = await createScratch('directory')
    server = await startServer({ major: clientMajor, scratch })
    const configured = await installClientPrograms(scratch.folder)
    const version = { major: clientMajor, minor: 0 } as const
    programs = await findClientPrograms(version, { configured, searchPath: '' }, recordingContext())
    for (const [name, count] of [
      ['a', 60_000],
      ['b', 60_000],
      ['c', 300_000],
    ] as const)
      await server.query(
        `create table ${name} as select i, md5(i::text) || repeat('x', 200) as text from generate_series(1, ${count}) i`,
      )
    await server.query('create table empty (i int primary key, of int references empty (i))')
    await server.query(
      "select lo_from_bytea(0, convert_to('large ' || i, 'UTF8')) from generate_series(1, 20) i",
    )
  })
  after(async () => {
    await server[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  const conninfo = (dbname = 'postgres'): Conninfo => ({
    ...parseConninfo(server.connectionString, { user: 'nobody' }),
    dbname,
  })
  const dump = (parent: string, selection: Partial<DumpSelection> = {}): Promise<DatabaseDump> =>
    dumpDatabase(
      {
        conninfo: conninfo(),
        programs,
        selection: { ...wholeDatabase, format: 'directory', ...selection },
        spooling: { parent, jobs: 2 },
      },
      recordingContext(),
    )
  const dumpWhole = async (): Promise<Uint8Array> => {
    await using begun = await dump(await mkdtemp(join(scratch.folder, 'parent-')))
    return await allBytes(begun.chunks)
  }
  const content = async (dbname: string): Promise<unknown> => {
    await using session = await server.session(dbname)
    const rows = async (query: string): Promise<unknown> => (await session.query(query)).rows
    return [
      await rows(
        "select (select md5(string_agg(t::text, ',' order by i)) from (table a union all table b union all table c) t)",
      ),
      await rows(
        "select md5(string_agg(encode(lo_get(oid), 'hex'), ',' order by lo_get(oid))) from pg_largeobject_metadata",
      ),
      await rows(
        "select conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace order by 1",
      ),
    ]
  }

  test('brings everything back, with one job or several, and leaves no file behind', async () => {
    const bytes = await dumpWhole()
    for (const jobs of [1, 3]) {
      const dbname = `again ${jobs}`
      await server.query(`create database "${dbname}"`)
      const parent = await mkdtemp(join(scratch.folder, 'parent-'))
      const selection = { ...wholeDump, format: 'directory' } as const
      const loading = { programs, selection, spooling: { parent, jobs, sizeBytes: bytes.length } }

      await loadDump({ ...loading, conninfo: conninfo(dbname), chunks: inPieces(bytes) }, recordingContext())

      assert.deepEqual(await content(dbname), await content('postgres'))
      assert.deepEqual(await readdir(parent), [])
    }
  })

  test('gives files away while others are still written, with the table of contents last', async () => {
    const parent = await mkdtemp(join(scratch.folder, 'parent-'))
    await using begun = await dump(parent)
    const names: string[] = []
    const read = async (): Promise<void> => {
      for await (const { entry, bytes } of readTar(begun.chunks))
        if (bytes === undefined) names.push(entry.name)
    }
    const reading = read()
    const copying = await waitUntil('the largest table to be copied', async () => {
      const [row] = await server.query<{ pid: number }>(
        "select pid from pg_stat_activity where application_name = 'pg_dump' and query ~ '^COPY public.c '",
      )
      return row?.pid
    })
    process.kill(copying, 'SIGSTOP')
    try {
      await waitUntil('the files of the other tables', () =>
        Promise.resolve(names.filter(isData).length === 3),
      )
      const [spool = ''] = await readdir(parent)
      await waitUntil('what was given away to be gone, and what is written to stay', async () => {
        const there = await readdir(join(parent, spool, 'dump'))
        return there.filter(isData).length === 1
      })
    } finally {
      process.kill(copying, 'SIGCONT')
    }
    await reading

    assert.equal(names.at(-1), 'toc.dat')
    assert.equal(names.filter(isData).length, 4)
    assert.equal(names.filter((name) => name.startsWith('blob')).length, 21)
  })

  test('is a directory for pg_restore when it is written to a disk, and its contents are counted', async () => {
    const bytes = await dumpWhole()
    const parent = await mkdtemp(join(scratch.folder, 'parent-'))
    const path = join(parent, 'written')
    await writeDumpDirectory(path, inPieces(bytes), recordingContext())

    const count = await countContents(
      { programs, chunks: inPieces(bytes), spoolParent: parent },
      recordingContext(),
    )

    assert.ok((await readdir(path)).includes('toc.dat'))
    assert.ok(count > 20, String(count))
    await assert.rejects(writeDumpDirectory(path, inPieces(bytes), recordingContext()), (error) =>
      isOperationError(error, 'not-confirmed'),
    )
    const cut = writeDumpDirectory(
      join(parent, 'cut'),
      inPieces(bytes.subarray(0, 50_000)),
      recordingContext(),
    )
    await assert.rejects(cut, (error) => isOperationError(error, 'damaged'))
    assert.deepEqual((await readdir(parent)).toSorted(), ['written'])
  })

  test('ends when its files take more than half of the disk, and when the disk is full', async () => {
    // Which of the two it is depends on how fast pg_dump writes; its largest file alone is more than half of either.
    const expected = /at most .* half of what was free|ended with 1: .*No space left/
    for (const size of ['20m', '60m']) {
      const path = await mkdtemp(join(scratch.folder, 'disk-'))
      await using disk = await mountTmpfs(path, `size=${size},mode=0777`)
      await using begun = await dump(disk.path)

      await assert.rejects(allBytes(slowly(begun.chunks)), (error) => {
        assert.ok(isOperationError(error, 'no-space') || isOperationError(error, 'dump-failed'))
        return expected.test(error.message)
      })
      await begun[Symbol.asyncDispose]()
      assert.deepEqual(await readdir(disk.path), [])
    }
  })

  test('is none when a process of pg_dump is killed (P11)', async () => {
    const parent = await mkdtemp(join(scratch.folder, 'parent-'))
    await using begun = await dump(parent)
    const broken = allBytes(begun.chunks)
    const ended = assert.rejects(broken, (error) => isOperationError(error, 'dump-failed'))
    await waitUntil('a process of pg_dump to copy rows', async () => {
      const [row] = await server.query<{ ended: boolean }>(
        "select pg_terminate_backend(pid) as ended from pg_stat_activity where application_name = 'pg_dump' and query ~ '^COPY public.c '",
      )
      return row?.ended
    })

    await ended
  })

  test('says that a part stays when several jobs have failed to load it', async () => {
    const bytes = await dumpWhole()
    await server.query('create database part')
    await using session = await server.session('part')
    await session.query('create table c (i int)')
    const parent = await mkdtemp(join(scratch.folder, 'parent-'))
    const selection = { ...wholeDump, format: 'directory' } as const
    const loading = { programs, selection, spooling: { parent, jobs: 2, sizeBytes: bytes.length } }

    await assert.rejects(
      loadDump({ ...loading, conninfo: conninfo('part'), chunks: inPieces(bytes) }, recordingContext()),
      (error) => isOperationError(error, 'load-failed') && /loaded before stays/.test(error.hint ?? ''),
    )
  })
})

const isData = (name: string): boolean => /^\d+\.dat$/.test(name)

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += 1 << 20)
    yield await Promise.resolve(Buffer.from(bytes.subarray(at, at + (1 << 20))))
}

/** As somebody whose store is slower than the server. */
async function* slowly(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of chunks) {
    await new Promise((resolve) => {
      setTimeout(resolve, 100)
    })
    yield chunk.slice()
  }
}

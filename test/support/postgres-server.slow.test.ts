import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { processesIn } from './live-processes.ts'
import { openServer, startServer } from './postgres-server.ts'
import { createScratch } from './scratch.ts'
import { serverBinaries, supportedMajors } from './server-binaries.ts'
import type { Major } from './server-binaries.ts'

describe('startServer', () => {
  test('starts all supported majors at once, with small segments and checksums, and stops them in every mode', async () => {
    await using scratch = await createScratch('majors')

    const servers = await Promise.all(
      supportedMajors.map((major) => startServer({ major, scratch, walSegmentSizeMb: 1 })),
    )

    for (const [index, server] of servers.entries()) {
      const [row] = await server.query(
        `select current_setting('server_version_num')::int / 10000 as major, current_setting('wal_segment_size') as size,
                current_setting('data_checksums') as checksums, $1::text as echo`,
        ['given'],
      )
      assert.deepEqual(row, { major: server.major, size: '1MB', checksums: 'on', echo: 'given' })
      await server.stop((['smart', 'fast', 'immediate'] as const)[index % 3])
      assert.equal(server.isRunning(), false)
      assert.deepEqual(processesIn(server.dataDirectory), [])
    }
  })

  test('takes a cluster without checksums, settings, and options of initdb', async () => {
    await using scratch = await createScratch('shape')
    await using server = await startServer({
      major: 18,
      scratch,
      checksums: false,
      settings: { work_mem: '7MB', fsync: true },
      initdbOptions: ['--locale-provider=icu', '--icu-locale=und'],
    })

    const [row] = await server.query(
      `select current_setting('data_checksums') as checksums, current_setting('work_mem') as memory,
              current_setting('fsync') as fsync, datlocprovider::text as provider from pg_database where datname = 'postgres'`,
    )

    assert.deepEqual(row, { checksums: 'off', memory: '7MB', fsync: 'on', provider: 'i' })
  })

  test('says that npm ci installs a major that is missing', async () => {
    await assert.rejects(serverBinaries(13 as Major), /"npm ci" installs them/)
  })
})

describe('a test server', () => {
  test('applies settings by reload and by restart', async () => {
    await using scratch = await createScratch('settings')
    await using server = await startServer({ major: 14, scratch })

    await server.reload({ work_mem: '5MB' })
    assert.deepEqual(await server.query('show work_mem'), [{ work_mem: '5MB' }])

    await server.setSetting('application_name', "it's")
    await server.restart({ max_connections: 33 })
    assert.deepEqual(await server.query('show max_connections'), [{ max_connections: '33' }])
    assert.match(await server.log(), /database system is shut down/)
  })

  test('is dead at once after a kill, leaves no shared memory, and recovers at the next start', async () => {
    await using scratch = await createScratch('kill')
    await using server = await startServer({ major: 17, scratch })
    await server.query('create table kept as select 1 as one')
    await using session = await server.session()

    await server.kill()

    assert.equal(server.isRunning(), false)
    assert.deepEqual(processesIn(server.dataDirectory), [])
    await assert.rejects(session.query('select 1'), /terminated|queryable|closed/)
    await server.start()
    assert.deepEqual(await server.query('select one from kept'), [{ one: 1 }])
    assert.match(await server.log(), /was not properly shut down/)
  })

  test('keeps times as text, with their microseconds', async () => {
    await using scratch = await createScratch('times')
    await using server = await startServer({ major: 16, scratch })

    const rows = await server.query("select '2026-01-02 03:04:05.123456+00'::timestamptz as at")

    assert.deepEqual(rows, [{ at: '2026-01-02 03:04:05.123456+00' }])
  })
})

describe('openServer', () => {
  test('opens an existing directory with settings that win over its files', async () => {
    await using scratch = await createScratch('open')
    const server = await startServer({ major: 15, scratch, settings: { work_mem: '5MB' } })
    await server.query('create table kept as select 1 as one')
    await server.stop()
    const { dataDirectory } = server

    await using opened = await openServer({
      major: 15,
      scratch,
      dataDirectory,
      settings: { work_mem: '9MB' },
    })

    assert.deepEqual(
      await opened.query('select one, current_setting($1) as memory from kept', ['work_mem']),
      [{ one: 1, memory: '9MB' }],
    )
    await opened.restart({ work_mem: '8MB' })
    assert.deepEqual(await opened.query('show work_mem'), [{ work_mem: '8MB' }])
  })

  test('reports the end of the log when the server does not start, and leaves no process', async () => {
    await using scratch = await createScratch('broken')
    const server = await startServer({ major: 18, scratch })
    await server.stop()
    const { dataDirectory } = server
    await rm(join(dataDirectory, 'global', 'pg_control'))

    await assert.rejects(
      openServer({ major: 18, scratch, dataDirectory }),
      /could not find the database system/,
    )

    assert.deepEqual(processesIn(dataDirectory), [])
    assert.ok((await readdir(dataDirectory)).includes('base'))
  })
})

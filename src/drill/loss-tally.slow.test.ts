import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startServer } from '../../test/support/postgres-server.ts'
import { testContext } from '../../test/support/repository.ts'
import { createScratch } from '../../test/support/scratch.ts'
import { connect } from '../postgres/connection.ts'
import { parseConninfo } from '../postgres/conninfo.ts'
import { FileTable } from '../restore/layout.ts'
import { relationKey } from '../wal/row-counts.ts'
import { loadBackedUpTables } from './backed-up-tables.ts'
import { addMissing, LossTally } from './loss-tally.ts'

describe('what was lost since a backup', () => {
  test('is certain when a file is shorter and the WAL does not say so', async () => {
    const context = testContext()
    await using scratch = await createScratch('shrunk')
    await using server = await startServer({ major: 17, scratch })
    for (const name of ['short', 'long'])
      await server.query(`create table ${name} as select generate_series(1, 1000) as i`)
    const files = new FileTable()
    for (const [name, moreBytes] of [
      ['short', 16_384],
      ['long', -8192],
    ] as const) {
      const [row] = await server.query<{ path: string; size: number }>(
        `select pg_relation_filepath('${name}') as path, pg_relation_size('${name}')::int as size`,
      )
      files.add({ root: 0, path: row?.path ?? '', mode: 0o600, sizeBytes: (row?.size ?? 0) + moreBytes })
    }
    const tally = new LossTally({ hasNames: false })
    await using session = await connect(
      { ...parseConninfo(server.connectionString, { user: 'nobody' }), dbname: 'postgres' },
      context,
    )

    const [found] = await session.query<{ oid: string }>(
      'select oid::text from pg_catalog.pg_database where datname = current_database()',
    )
    const database = { oid: Number(found?.oid), name: 'postgres' }
    await loadBackedUpTables(session, database.oid, { names: undefined, files })
    await addMissing(tally, session, database)

    const [suspect] = tally.suspects
    assert.deepEqual(
      tally.suspects.map(({ finding }) => finding.replaceAll(/\d+/g, 'N')),
      ['postgres, public.short: had N bytes in the backup, has N'],
    )
    const explained = new Set(suspect === undefined ? [] : [relationKey(suspect)])
    assert.equal(tally.toCheck({ explained: new Set(), holes: [] }).state, 'failed')
    assert.equal(tally.toCheck({ explained: new Set(), holes: ['it is gone'] }).state, 'not-proven')
    assert.equal(tally.toCheck({ explained, holes: [] }).state, 'passed')
  })
})

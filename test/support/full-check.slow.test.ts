import assert from 'node:assert/strict'
import { copyFile, open } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fullCheck } from './full-check.ts'
import { prepareLedger } from './ledger-schema.ts'
import { startLedger } from './ledger.ts'
import type { Expected } from './ledger.ts'
import { startServer } from './postgres-server.ts'
import type { StartOptions, TestServer } from './postgres-server.ts'
import { createScratch } from './scratch.ts'
import type { Scratch } from './scratch.ts'
import { supportedMajors } from './server-binaries.ts'

describe('fullCheck', () => {
  for (const major of supportedMajors) {
    test(`passes on PostgreSQL ${major} after a ledger ran and the server crashed`, async () => {
      await using scratch = await createScratch('green')
      await using server = await startServer({ major, scratch })
      await prepareLedger(server)
      await using ledger = await startLedger(server, { ratePerSecond: 1000 })
      await ledger.advance(500)
      await server.kill()
      await server.start()
      await ledger.advance(500)
      await ledger.stop()

      const report = await fullCheck(server, { expected: ledger.expected(), exact: true })

      assert.ok(report.ledgerRows >= 1000 && report.tables > 150 && report.indexes > 250)
      assert.ok(report.blocks > 1000 && report.rows > 10_000 && report.databases === 2)
      assert.deepEqual(await server.query("select from pg_extension where extname <> 'plpgsql'"), [])
    })
  }

  test('names the block with a bad checksum', async () => {
    await using scratch = await createScratch('flip')
    await using server = await filledServer(scratch)
    const file = await fileOf(server, 'ledger')

    await server.stop()
    await flipByte(file, 8192 + 5000)
    await server.start()

    await assert.rejects(fullCheck(server), /blocks of ledger \(main\): .*invalid page in block 1/)
  })

  test('names a damaged tuple where there are no checksums', async () => {
    await using scratch = await createScratch('tuple')
    await using server = await filledServer(scratch, { checksums: false })
    const file = await fileOf(server, 'ledger')

    await server.stop()
    // The first line pointer of block 1, behind its 24 bytes of header: its tuple seems to lie elsewhere.
    await flipByte(file, 8192 + 24)
    await server.start()

    await assert.rejects(fullCheck(server), /verify_heapam of ledger: block 1, tuple 1/)
  })

  test('names rows that are missing, that must not be there, and that nobody wrote', async () => {
    await using scratch = await createScratch('rows')
    await using server = await filledServer(scratch)
    const ids = (await server.query<{ id: string }>('select id from ledger')).map(({ id }) => Number(id))
    const [first = 0, second = 0, ...rest] = ids
    const check = (expected: Partial<Expected>): Promise<unknown> =>
      fullCheck(server, {
        expected: { present: rest, absent: [], unknown: [first, second], ...expected },
        exact: true,
      })

    await check({})
    await assert.rejects(check({ present: [...rest, 7] }), /1 acknowledged rows are missing \(7\)/)
    await assert.rejects(
      check({ absent: [first] }),
      new RegExp(`1 rows are there that must not be \\(${first}\\)`),
    )
    await assert.rejects(
      check({ unknown: [first] }),
      new RegExp(`1 rows are there that nobody wrote \\(${second}\\)`),
    )
    await server.query('delete from ledger where id = $1', [first])
    await assert.rejects(check({}), /2 accounts do not follow from the ledger/)
  })

  test('notices a balance that does not follow from the ledger', async () => {
    await using scratch = await createScratch('balance')
    await using server = await filledServer(scratch)

    await server.query('update accounts set balance = balance + 1 where id = 77')

    await assert.rejects(fullCheck(server), /1 accounts do not follow from the ledger: account 77 has/)
  })

  test('notices a visibility map that is older than its table (M15)', async () => {
    await using scratch = await createScratch('stale-vm')
    await using server = await filledServer(scratch)
    await server.query('create table t as select i from generate_series(1, 20000) i')
    await server.query('create unique index on t (i)')
    await server.query('vacuum (freeze, analyze) t')
    const map = `${await fileOf(server, 't')}_vm`
    await server.query('checkpoint')
    await copyFile(map, `${scratch.folder}/old`)

    await server.query('delete from t where i % 100 = 0')
    await server.stop()
    await copyFile(`${scratch.folder}/old`, map)
    await server.start()

    await assert.rejects(fullCheck(server), ({ message }: Error) => {
      assert.match(message, /pg_check_visible of t: the visibility map promises too much for 200 tuples/)
      assert.match(message, /counts of t: 19800 rows by the table, 20000 by an index/)
      return true
    })
  })

  test('notices indexes that are older than their table, of every kind it compares', async () => {
    await using scratch = await createScratch('stale-index')
    await using server = await filledServer(scratch, { checksums: false })
    const files = await Promise.all(
      ['ledger_pkey', 'ledger_debit_account_idx'].map((name) => fileOf(server, name)),
    )
    await server.query('checkpoint')
    for (const [index, file] of files.entries()) await copyFile(file, `${scratch.folder}/${index}`)

    await server.query(`insert into ledger select i, 5, 0, 6, 0 from generate_series(1, 300) i`)
    await server.stop()
    for (const [index, file] of files.entries()) await copyFile(`${scratch.folder}/${index}`, file)
    await server.start()

    await assert.rejects(fullCheck(server), ({ message }: Error) => {
      assert.match(message, /bt_index_check of ledger_pkey: .*lacks matching index tuple/)
      assert.match(message, /counts of ledger: \d+ rows by the table, \d+ by an index/)
      assert.match(message, /ledger_debit_account_idx: \d+ rows by the table, \d+ by the index/)
      return true
    })
  })

  test('refuses a server that is still in recovery, or whose ledger is not there', async () => {
    await using scratch = await createScratch('recovering')
    await using server = await startServer({ major: 17, scratch })
    const expected = { present: [], absent: [], unknown: [] }

    await fullCheck(server)
    await assert.rejects(fullCheck(server, { expected }), /its tables are not there/)
    await server.stop()
    await (await open(join(server.dataDirectory, 'standby.signal'), 'w')).close()
    await server.start()
    await assert.rejects(fullCheck(server), /recovery has not ended/)
  })
})

/** A server with a finished ledger of 300 rows. Nothing mends by itself what a test damages. */
async function filledServer(scratch: Scratch, options: Partial<StartOptions> = {}): Promise<TestServer> {
  const server = await startServer({ major: 18, scratch, settings: { autovacuum: false }, ...options })
  await prepareLedger(server)
  await using ledger = await startLedger(server, { ratePerSecond: Infinity })
  await ledger.advance(300)
  await ledger.stop()
  await server.query('checkpoint')
  return server
}

async function fileOf(server: TestServer, relation: string): Promise<string> {
  const [row] = await server.query<{ path: string }>('select pg_relation_filepath($1) as path', [relation])
  return join(server.dataDirectory, row?.path ?? '')
}

async function flipByte(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, offset)
  await file.write(Buffer.of(byte.readUInt8() ^ 0xff), 0, 1, offset)
}

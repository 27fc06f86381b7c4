// The main job, on an embedded PostgreSQL: a busy server, a backup, an accident, the recovery to the moment before it,
// and proof. Everything it makes is in one temporary folder, which is removed at the end.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { FindDocument } from '../src/api/find-document.ts'
import { archiveEverything } from '../test/support/archive-everything.ts'
import { fullCheck } from '../test/support/full-check.ts'
import { expectOk, runHoldfast } from '../test/support/holdfast.ts'
import { prepareLedger } from '../test/support/ledger-schema.ts'
import { startLedger } from '../test/support/ledger.ts'
import { openServer, startServer, type TestServer } from '../test/support/postgres-server.ts'
import { createScratch } from '../test/support/scratch.ts'

const major = 18
const customerCount = 200_000
const startedAt = performance.now()

await using scratch = await createScratch('demo')
const repository = join(scratch.folder, 'repository')
const configuration = join(scratch.folder, 'holdfast.yaml')
const restoredDirectory = join(scratch.folder, 'restored')
const sandboxes = join(scratch.folder, 'sandboxes')

say(`A PostgreSQL ${major} server with a bank in it starts; transfers run throughout.`)
await using server = await startServer({ major, scratch, settings: { fsync: 'on' } })
await prepareLedger(server, { accounts: 20_000 })
await prepareCustomers(server)
await using ledger = await startLedger(server, { clients: 4, ratePerSecond: 200 })

await step('holdfast init --apply: repository, key, configuration, archiving', async () => {
  await holdfast(
    'init',
    '--apply',
    '--cluster=bank',
    `--connection=${server.connectionString}`,
    `--repo=posix:${repository}`,
    `--bin-directory=${server.binDirectory}`,
  )
  await ledger.pause()
  await server.restart() // archive_mode needs one
  ledger.resume()
})

await step('holdfast check: a WAL segment goes there and back', () => holdfast('check'))
await step('holdfast backup: while the transfers go on', () => holdfast('backup'))
await step('Life goes on: 500 more transfers', () => ledger.advance(500))

await ledger.pause() // so that what was there before the accident is known exactly
const before = await ledger.marker()
await server.query('DROP TABLE customers')
ledger.resume()
await step('Somebody drops the table "customers"; nobody notices for 500 transfers', () =>
  ledger.advance(500),
)
await archiveEverything(server) // within archive_timeout it would happen by itself

await step('holdfast find: what happened, and when?', () => holdfast('find', '--kind', 'drop'))
const moment = await momentBefore('customers')

await step('holdfast restore: to the moment before, beside the running server', () =>
  holdfast('restore', '--target-dir', restoredDirectory, ...moment),
)

await step('Proof', async () => {
  await using restored = await openServer({ dataDirectory: restoredDirectory, major, scratch })
  const [customers] = await restored.query<{ count: string }>('SELECT count(*) FROM customers')
  assert.equal(Number(customers?.count), customerCount)
  const expected = ledger.expected(before)
  const report = await fullCheck(restored, { expected, exact: true })
  say(`  the table is back: ${customerCount} customers`)
  say(`  all ${expected.present.length} transfers acknowledged before the moment are there, none after it`)
  say(
    `  every page read, every index compared: ${report.tables} tables, ${report.indexes} indexes, ${report.blocks} blocks`,
  )
  const [live] = await server.query<{ there: boolean }>(
    "SELECT to_regclass('customers') IS NOT NULL AS there",
  )
  assert.equal(live?.there, false, 'the running server was not touched')
  say(`  the running server went on: ${ledger.acknowledged().length} transfers by now`)
})

await step(
  'holdfast rescue: the same table back into the running server, out of a throw-away one',
  async () => {
    await holdfast('rescue', '--table', 'customers', '--sandbox-directory', sandboxes, ...moment)
    const [rescued] = await server.query<{ count: string }>('SELECT count(*) FROM rescued.customers')
    assert.equal(Number(rescued?.count), customerCount)
  },
)

await ledger.stop()
say(`Done in ${seconds(startedAt)}. Everything is removed again.`)

async function prepareCustomers(target: TestServer): Promise<void> {
  await target.query(`
    CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, note text);
    INSERT INTO customers
      SELECT i, 'customer ' || i, md5(i::text) FROM generate_series(1, ${customerCount}) AS i`)
}

/** The options of restore that `find` gives for the accident that befell a table. */
async function momentBefore(table: string): Promise<readonly string[]> {
  const args = ['--output', 'json', 'find', '--kind', 'drop', '--table', table]
  const { stdout } = expectOk(await runHoldfast(args, { config: configuration }))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is looked at here
  const { transactions } = JSON.parse(stdout) as FindDocument
  return transactions[0]?.restore?.options ?? assert.fail(`nothing leads to before ${table} was dropped`)
}

async function holdfast(...args: readonly string[]): Promise<void> {
  say(`  $ holdfast ${args.map((arg) => (/[^\w:=/.-]/.test(arg) ? `'${arg}'` : arg)).join(' ')}`)
  const result = await runHoldfast(args, { config: configuration })
  const lines = expectOk(result).stdout.trimEnd().split('\n')
  for (const line of lines) say(`    ${line}`)
}

async function step(title: string, work: () => Promise<unknown>): Promise<void> {
  say(`\n${title}`)
  const began = performance.now()
  await work()
  say(`  (${seconds(began)})`)
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`
}

function say(line: string): void {
  console.log(line)
}

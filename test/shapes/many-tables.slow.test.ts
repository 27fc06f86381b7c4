import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { archiveEverything } from '../support/archive-everything.ts'
import { backupInProcess } from '../support/backup-in-process.ts'
import { expectOk } from '../support/holdfast.ts'
import { openServer, type TestServer } from '../support/postgres-server.ts'
import { startProtectedCluster, type ProtectedCluster } from '../support/protected-cluster.ts'
import { createScratch } from '../support/scratch.ts'

/** HOLDFAST_TEST_TABLES=10000 takes more. */
const tableCount = Number(process.env['HOLDFAST_TEST_TABLES'] ?? '3000')

describe('a cluster of many tables', () => {
  test(`of ${tableCount} comes back whole, and the work grows no faster than the files (S9)`, async (t) => {
    await using scratch = await createScratch('many')
    // One query looks into all tables.
    const settings = { autovacuum: 'off', max_locks_per_transaction: 1024 }
    await using cluster = await startProtectedCluster(scratch, { settings })
    const { server } = cluster
    assert.ok(tableCount >= 1000, 'HOLDFAST_TEST_TABLES: expected at least 1000')
    const few = Math.ceil(tableCount / 4)
    await makeTables(server, { from: 1, to: few })
    const costOfFew = await costOfBackup(cluster)
    await makeTables(server, { from: few + 1, to: tableCount })

    const costOfAll = await costOfBackup(cluster)

    const growth = costOfAll.cpuMs / costOfFew.cpuMs
    t.diagnostic(JSON.stringify({ costOfFew, costOfAll, growth }))
    assert.ok(
      growth < (costOfAll.fileCount / costOfFew.fileCount) * 1.5,
      `${growth} times the processor time`,
    )
    assert.ok(costOfAll.fileCount > 2 * tableCount)
    await using restored = await restoreNewest(cluster)
    const [row] = await restored.query<{ sum: string }>('select sum_of_all()::text as sum')
    assert.equal(row?.sum, String((tableCount * (tableCount + 1)) / 2))
  })
})

/** Each with a row and an index, so two files. Later ones are not slower to make: every commit frees the locks. */
async function makeTables(
  server: TestServer,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<void> {
  await server.query(
    `do $$ begin
       for number in ${from}..${to} loop
         execute format('create table many_%s (id bigint); create index on many_%s (id); insert into many_%s values (%s)',
                        number, number, number, number);
         if number % 100 = 0 then commit; end if;
       end loop;
     end $$`,
  )
  await server.query(
    `create or replace function sum_of_all() returns numeric language plpgsql set enable_seqscan = off as $$
       declare total numeric := 0; one bigint; name text;
       begin
         for name in select relname from pg_class where relname ~ '^many_[0-9]+$' and relkind = 'r' loop
           execute format('select sum(id) from %I where id > 0', name) into one;
           total := total + one;
         end loop;
         return total;
       end $$`,
  )
  await server.query('checkpoint')
}

interface Cost {
  readonly fileCount: number
  /** Of all threads, the waiting for others left out. */
  readonly cpuMs: number
}

async function costOfBackup(cluster: ProtectedCluster): Promise<Cost> {
  const before = process.cpuUsage()
  const { fileCount } = await backupInProcess(cluster, {})
  const { user, system } = process.cpuUsage(before)
  return { fileCount, cpuMs: (user + system) / 1000 }
}

async function restoreNewest(cluster: ProtectedCluster): Promise<TestServer> {
  const { server, scratch } = cluster
  await archiveEverything(server)
  const dataDirectory = join(await scratch.makeFolder('restored'), 'data')
  const env = { HOLDFAST_CLUSTERS_MAIN_BIN_DIRECTORY: server.binDirectory }
  expectOk(await cluster.run(['restore', '--target-dir', dataDirectory], env))
  return openServer({ dataDirectory, major: server.major, scratch, settings: { archive_mode: 'off' } })
}

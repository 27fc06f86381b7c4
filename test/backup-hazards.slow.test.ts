import assert from 'node:assert/strict'
import { cp, open, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { OperationError } from '../src/domain/operation-error.ts'
import type { RunEvent } from '../src/domain/run-context.ts'
import { controlFileBytes } from '../src/postgres/control-file.ts'
import { backupInProcess } from './support/backup-in-process.ts'
import { FaultyStore, type Fault } from './support/faulty-store.ts'
import { giveTree } from './support/give-tree.ts'
import { expectOk, type HoldfastResult } from './support/holdfast.ts'
import { openServer, type TestServer } from './support/postgres-server.ts'
import { startProtectedCluster, type ProtectedCluster } from './support/protected-cluster.ts'
import { createScratch } from './support/scratch.ts'
import { waitUntil } from './support/wait.ts'

describe('backup, of another directory than the server’s own', () => {
  test('refuses an older copy of it and a standby, although they are of the same cluster (R3, R5)', async () => {
    await using scratch = await createScratch('hazards')
    await using cluster = await startProtectedCluster(scratch)
    const { server } = cluster
    await server.kill() // so that their control files say "in production", as the server's own does
    const stale = await copyDirectory(cluster, 'stale')
    const dataDirectory = await copyDirectory(cluster, 'standby')
    await writeFile(join(dataDirectory, 'standby.signal'), '')
    await server.start()
    const settings = { archive_mode: 'off', primary_conninfo: server.connectionString }
    await using standby = await openServer({ dataDirectory, major: server.major, scratch, settings })
    const [row] = await standby.query<{ standby: boolean }>('select pg_is_in_recovery() as standby')
    assert.equal(row?.standby, true)

    await expectRefused(cluster, stale, /expected a checkpoint from .* on, found one at/)
    await expectRefused(
      cluster,
      dataDirectory,
      /expected a cluster in production, found one in archive recovery/,
    )
  })
})

describe('backup, while the cluster changes', () => {
  test('holds a tablespace that is made after the server was asked and before the start (R10)', async () => {
    await using scratch = await createScratch('hazards')
    await using cluster = await startProtectedCluster(scratch, { isArchiving: false })
    const { server } = cluster
    const space = await scratch.makeFolder('late')
    const running = cluster.start(['backup'], { HOLDFAST_BACKUP_ARCHIVE_TIMEOUT: '30s' })
    // It has asked the server about itself and waits for its test segment, which comes when we let it.
    await waitUntil('the test segment of the backup', async () => {
      const [row] = await server.query<{ failed: boolean }>(
        'select failed_count > 0 as failed from pg_stat_archiver',
      )
      return row?.failed
    })

    await server.query(`create tablespace late location '${space}'`)
    await server.query('create table far tablespace late as select generate_series(1, 5000) as id')
    await server.query('checkpoint')
    await server.reload({ archive_command: cluster.archiveCommand })

    expectOk(await running.ended)
    await using recovered = await cluster.recover(await onlyLabel(cluster))
    const [row] = await recovered.query('select sum(id)::text as sum from far')
    assert.deepEqual(row, { sum: '12502500' })
  })

  test('takes a file whole that is replaced by a longer one before it is copied (R8)', async () => {
    await using scratch = await createScratch('hazards')
    await using cluster = await startProtectedCluster(scratch)
    const { server } = cluster
    // Enough for a second task, which these files are in: they come last.
    await server.query(
      "create table big as select repeat('x', 1000) as filling from generate_series(1, 8000)",
    )
    await makeOrigins(server, 1)
    await server.query("alter system set application_name = 'short'")
    const [origins, settings] = ['pg_logical/replorigin_checkpoint', 'postgresql.auto.conf'].map((path) =>
      join(server.dataDirectory, path),
    )
    assert.ok(origins !== undefined && settings !== undefined)
    const scannedSizes = await Promise.all([sizeOf(origins), sizeOf(settings)])

    const { label } = await backupInProcess(cluster, {
      maxRate: 200_000_000,
      interruption: {
        after: ({ kind }) => kind === 'progress',
        act: async () => {
          await makeOrigins(server, 6)
          await server.query(`alter system set application_name = '${'long'.repeat(12)}'`)
        },
      },
    })

    const [originsSize, settingsText] = [await sizeOf(origins), await readFile(settings, 'utf8')]
    assert.ok(originsSize > scannedSizes[0] && settingsText.length > scannedSizes[1])
    await using recovered = await cluster.recover(label)
    const [row] = await recovered.query('select count(*)::text as count from pg_replication_origin_status')
    assert.deepEqual(row, { count: '6' })
    assert.equal(await readFile(join(recovered.dataDirectory, 'postgresql.auto.conf'), 'utf8'), settingsText)
  })
})

describe('backup, when its store fails', () => {
  const full = new OperationError('no-space', 'storing an object: no space left on device (ENOSPC)')
  const failPut = (subject: string): Fault => ({
    kind: 'fail',
    error: full,
    when: 'before',
    at: { operation: 'putIfAbsent', subject },
  })
  const release = '99999999'

  test('succeeds and warns when only the release of its lease fails, for it is listed (R65)', async () => {
    await using scratch = await createScratch('hazards')
    await using cluster = await startProtectedCluster(scratch)
    const events: RunEvent[] = []

    const { label } = await backupInProcess(cluster, {
      wrapStore: (store) => new FaultyStore(store, [failPut(release)]),
      report: (event) => events.push(event),
    })

    assert.equal(await onlyLabel(cluster), label)
    const warnings = events.flatMap((event) => (event.kind === 'warning' ? [event.message] : []))
    assert.equal(warnings.length, 1)
    assert.match(warnings[0] ?? '', /could not release the lease .*no space left/)
  })

  test('says why it failed, not that its lease could not be released either, and keeps nothing', async () => {
    await using scratch = await createScratch('hazards')
    await using cluster = await startProtectedCluster(scratch)

    const backup = backupInProcess(cluster, {
      wrapStore: (store) => new FaultyStore(store, [failPut('/data/'), failPut(release)]),
    })

    await assert.rejects(backup, (error) => error === full)
    assert.deepEqual(await cluster.listed(), [])
    assert.deepEqual(await cluster.keys('data'), [])
  })

  test('says in one error line that the store is gone, and lists nothing', async () => {
    await using scratch = await createScratch('hazards')
    await using cluster = await startProtectedCluster(scratch)
    const { repositoryFolder } = cluster.archive
    const running = cluster.start(['backup', '--max-rate', '12MB'])
    await waitUntil('the copying', () => isInBackup(cluster.server))

    await rename(repositoryFolder, `${repositoryFolder}.gone`)

    const result = await running.ended
    assert.match(result.stderr, /^error: opening the store ".*": expected a directory/m)
    assert.equal(linesOf(result, 'error:').length, 1, result.stderr)
    assert.doesNotMatch(result.stderr, /internal error|suppressed/i)
    assert.equal(result.code, 1)
    await rename(`${repositoryFolder}.gone`, repositoryFolder)
    assert.deepEqual(await cluster.listed(), [])
  })
})

describe('backup, of pages that are bad when they are read', () => {
  test('counts one that is good when it is read again but was not written meanwhile (R13)', async () => {
    await using scratch = await createScratch('hazards')
    await using cluster = await startProtectedCluster(scratch)
    const { damage } = await preparePage(cluster.server)
    await damage()

    await backupInProcess(cluster, { interruption: { after: isLastProgress, act: damage } })

    assert.deepEqual(await damagedPageCounts(cluster), [1])
  })

  test('does not count one that the server has written meanwhile, and recovers it (R13)', async () => {
    await using scratch = await createScratch('hazards')
    await using cluster = await startProtectedCluster(scratch)
    const { server } = cluster
    const { damage, lastRow } = await preparePage(server)
    await damage()

    // The server still has the page in its memory, whole.
    const act = async (): Promise<void> => {
      await server.query('update t set id = -id where ctid = $1', [lastRow])
      await server.query('checkpoint')
    }
    const { label } = await backupInProcess(cluster, { interruption: { after: isLastProgress, act } })

    assert.deepEqual(await damagedPageCounts(cluster), [0])
    await using recovered = await cluster.recover(label)
    const [row] = await recovered.query(
      'select count(*)::text as count, count(*) filter (where id < 0)::text as changed from t',
    )
    assert.deepEqual(row, { count: '10000', changed: '1' })
  })

  test('counts none of a cluster that writes its pages all the time (R13)', async () => {
    await using scratch = await createScratch('hazards')
    const settings = { shared_buffers: '128kB', bgwriter_delay: '10ms', max_wal_size: '64MB' }
    await using cluster = await startProtectedCluster(scratch, { settings })
    const { server } = cluster
    await server.query(
      `create table accounts with (fillfactor = 50) as
         select id, 0 as balance, repeat('x', 100) as filling from generate_series(1, 20000) as id`,
    )
    await server.query('create unique index on accounts (id)')
    const churning = new AbortController()
    const churn = Promise.all([changeAccounts(server, churning.signal), checkpoint(server, churning.signal)])

    const result = await cluster.run(['backup', '--max-rate', '20MB'])

    churning.abort()
    await churn
    expectOk(result)
    assert.deepEqual(await damagedPageCounts(cluster), [0])
  })
})

/** All is copied but the control file, which comes later. */
const isLastProgress = (event: RunEvent): boolean =>
  event.kind === 'progress' && event.done >= event.total - controlFileBytes

async function copyDirectory({ scratch, server }: ProtectedCluster, name: string): Promise<string> {
  const place = join(await scratch.makeFolder(name), 'data')
  await cp(server.dataDirectory, place, { recursive: true, mode: 0, preserveTimestamps: true })
  await giveTree(place, scratch.user)
  return place
}

async function expectRefused(cluster: ProtectedCluster, directory: string, why: RegExp): Promise<void> {
  const result = await cluster.run(['backup'], { HOLDFAST_CLUSTERS_MAIN_DATA_DIRECTORY: directory })

  assert.match(result.stderr, why)
  assert.match(result.stderr, /it is not the directory of the server that is backed up\nhint: \S/)
  assert.equal(result.code, 5, result.stderr)
  assert.deepEqual(await cluster.listed(), [])
  assert.deepEqual(await cluster.keys('data'), [])
}

async function onlyLabel(cluster: ProtectedCluster): Promise<string> {
  const [backup, ...others] = await cluster.listed()
  assert.ok(backup !== undefined && others.length === 0)
  return backup.label
}

async function damagedPageCounts(cluster: ProtectedCluster): Promise<readonly number[]> {
  return (await cluster.listed()).map(({ damagedPageCount }) => damagedPageCount)
}

const linesOf = ({ stderr }: HoldfastResult, beginning: string): readonly string[] =>
  stderr.split('\n').filter((line) => line.startsWith(beginning))

async function isInBackup(server: TestServer): Promise<boolean> {
  const [row] = await server.query<{ started: boolean }>(
    `select count(*) > 0 as started from pg_stat_activity
       where application_name = 'holdfast' and query ~ 'from pg_catalog.pg_control_checkpoint'`,
  )
  return row?.started ?? false
}

/** Has `count` replication origins with a position each, in the file that a checkpoint replaces. */
async function makeOrigins(server: TestServer, count: number): Promise<void> {
  await server.query(
    `select pg_replication_origin_create('o' || number) from generate_series(1, $1) as number
       where not exists (select from pg_replication_origin where roname = 'o' || number)`,
    [count],
  )
  await server.query(
    "select pg_replication_origin_advance('o' || number, '0/1') from generate_series(1, $1) as number",
    [count],
  )
  await server.query('checkpoint')
}

const sizeOf = async (path: string): Promise<number> => (await stat(path)).size

/** A table whose pages nobody needs to write any more; `damage` spoils its block 3 in the file, and done again mends it. */
async function preparePage(server: TestServer): Promise<{ damage: () => Promise<void>; lastRow: string }> {
  await server.query('create table t as select generate_series(1, 10000) as id')
  await server.query('vacuum (freeze) t')
  await server.query('checkpoint')
  const [row] = await server.query<{ path: string; last: string }>(
    "select pg_relation_filepath('t') as path, max(ctid)::text as last from t where ctid < '(4,1)'",
  )
  assert.ok(row !== undefined)
  const path = join(server.dataDirectory, row.path)
  return { damage: () => flipByte(path, 3 * 8192 + 5000), lastRow: row.last }
}

async function flipByte(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, offset)
  await file.write(Buffer.from([(byte[0] ?? 0) ^ 0xff]), 0, 1, offset)
}

async function changeAccounts(server: TestServer, signal: AbortSignal): Promise<void> {
  await using session = await server.session()
  while (!signal.aborted) {
    await session.query(
      `do $$ begin
         for turn in 1..1000 loop
           update accounts set balance = balance + 1 where id = 1 + floor(random() * 20000);
           if turn % 20 = 0 then commit; end if;
         end loop;
       end $$`,
    )
  }
}

async function checkpoint(server: TestServer, signal: AbortSignal): Promise<void> {
  await using session = await server.session()
  while (!signal.aborted) await session.query('checkpoint')
}

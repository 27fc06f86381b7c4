import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createScratch } from '../../test/support/scratch.ts'
import { supportedMajors } from '../../test/support/server-binaries.ts'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { waitUntil } from '../../test/support/wait.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { systemClock } from '../platform/system-clock.ts'
import { createRestorePoint, currentWalLsn, readArchiverStatus, switchWal } from './archiver-status.ts'
import { connect } from './connection.ts'
import { parseConninfo, type Conninfo } from './conninfo.ts'
import { parseControlFile } from './control-file.ts'
import { readServerFacts } from './server-facts.ts'

for (const major of supportedMajors) {
  describe(`a PostgreSQL ${major} server`, () => {
    test('tells its facts to a role with few privileges, switches WAL, and says what to grant (R2)', async () => {
      await using scratch = await createScratch('facts')
      await using server = await startServer({
        major,
        scratch,
        walSegmentSizeMb: 4,
        settings: { archive_mode: 'on', archive_timeout: '2min', archive_command: 'true' },
      })
      const location = await scratch.makeFolder('a "space", and more')
      await server.query(`create tablespace "odd ""name" location '${location}'`)
      await server.query('create role "bk ""up" login')
      await using session = await connect(conninfoOf(server, 'bk "up'), context())

      await assert.rejects(
        readServerFacts(session),
        (error) =>
          isOperationError(error, 'server-lacks-privilege') &&
          error.message.includes('data_directory') &&
          error.hint === 'As a superuser, run: GRANT pg_read_all_settings TO "bk ""up";',
      )
      await server.query('grant pg_read_all_settings to "bk ""up"')
      const facts = await readServerFacts(session)

      assert.equal(facts.version.major, major)
      assert.equal(facts.timeline, 1)
      assert.equal(facts.isInRecovery, false)
      assert.equal(facts.dataDirectory, server.dataDirectory)
      assert.deepEqual(facts.socketDirectories, [server.socketDirectory])
      assert.equal(facts.port, server.port)
      assert.equal(facts.walSegmentSize, 4 * 1024 * 1024)
      assert.equal(facts.blockSizeBytes, 8192)
      assert.equal(facts.hasDataChecksums, true)
      assert.equal(facts.walLevel, 'replica')
      assert.equal(facts.archiveMode, 'on')
      assert.equal(facts.archiveCommand, 'true')
      assert.equal(facts.archiveTimeoutSeconds, 120)
      assert.equal(facts.hasFullPageWrites, true)
      assert.deepEqual(
        facts.tablespaces.map((space) => [space.name, space.location]),
        [['odd "name', location]],
      )
      assert.match(facts.serverTime, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?\+00$/)
      const control = parseControlFile(readFileSync(join(server.dataDirectory, 'global', 'pg_control')))
      assert.equal(facts.systemIdentifier, control.systemIdentifier)
      assert.equal(facts.catalogVersion, control.catalogVersion)
      assert.equal(control.major, major)
      await switchesWalAndMarksIt(server)
      await assertControlFileIsUnderstood(server)
    })
  })
}

async function switchesWalAndMarksIt(server: TestServer): Promise<void> {
  await server.query('create role plain login')
  await using session = await connect(conninfoOf(server, 'postgres'), context())
  await using plain = await connect(conninfoOf(server, 'plain'), context())

  const mark = await createRestorePoint(session, `it's "here" %f`)
  const end = await switchWal(session)

  assert.ok(end >= mark)
  assert.ok((await currentWalLsn(session)) >= end)
  const status = await waitUntil('a segment to be archived', async () => {
    const found = await readArchiverStatus(session)
    return found.archivedCount > 0n ? found : undefined
  })
  assert.match(status.lastArchivedName ?? '', /^[0-9A-F]{24}$/)
  assert.equal(status.failedCount, 0n)
  await assert.rejects(
    switchWal(plain),
    ({ hint }: OperationError) =>
      hint === 'As a superuser, run: GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO "plain";',
  )
  await assert.rejects(createRestorePoint(session, 'é'.repeat(32)), OperationError)
}

/** Our reading of pg_control against the server's own. */
async function assertControlFileIsUnderstood(server: TestServer): Promise<void> {
  await server.stop()
  const control = parseControlFile(readFileSync(join(server.dataDirectory, 'global', 'pg_control')))
  await server.start()
  const [shown] = await server.query<Record<string, string | number | boolean>>(
    `select c.prev_timeline_id, c.full_page_writes, i.max_data_alignment, i.database_block_size, i.blocks_per_segment,
            i.wal_block_size, i.bytes_per_wal_segment, i.data_page_checksum_version, r.min_recovery_end_timeline,
            extract(epoch from c.checkpoint_time)::int as checkpoint_seconds, c.checkpoint_lsn::text, c.redo_lsn::text,
            current_setting('max_connections')::int as max_connections,
            current_setting('max_worker_processes')::int as max_worker_processes,
            current_setting('max_wal_senders')::int as max_wal_senders,
            current_setting('max_prepared_transactions')::int as max_prepared_transactions,
            current_setting('max_locks_per_transaction')::int as max_locks_per_transaction
       from pg_control_checkpoint() c, pg_control_init() i, pg_control_recovery() r`,
  )
  assert.ok(shown)
  assert.equal(control.state, 'shut down')
  assert.deepEqual(
    {
      prev_timeline_id: control.previousTimeline,
      full_page_writes: control.hasFullPageWrites,
      max_data_alignment: 8,
      database_block_size: control.blockSizeBytes,
      blocks_per_segment: control.blocksPerRelationFile,
      wal_block_size: control.walBlockSizeBytes,
      bytes_per_wal_segment: control.walSegmentSizeBytes,
      data_page_checksum_version: control.dataChecksumVersion,
      min_recovery_end_timeline: control.minRecoveryTimeline,
      checkpoint_seconds: control.checkpointAtSeconds,
      checkpoint_lsn: `0/${control.checkpointLsn.toString(16).toUpperCase()}`,
      redo_lsn: `0/${control.redoLsn.toString(16).toUpperCase()}`,
      max_connections: control.maxConnections,
      max_worker_processes: control.maxWorkerProcesses,
      max_wal_senders: control.maxWalSenders,
      max_prepared_transactions: control.maxPreparedTransactions,
      max_locks_per_transaction: control.maxLocksPerTransaction,
    },
    shown,
  )
}

function conninfoOf(server: TestServer, user: string): Conninfo {
  return { ...parseConninfo(server.connectionString, { user }), user }
}

function context(): RunContext {
  return { signal: new AbortController().signal, clock: systemClock, report: () => undefined }
}

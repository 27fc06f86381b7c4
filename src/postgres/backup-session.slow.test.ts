import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createScratch } from '../../test/support/scratch.ts'
import { supportedMajors } from '../../test/support/server-binaries.ts'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { waitUntil } from '../../test/support/wait.ts'
import { formatLsn } from '../domain/lsn.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { Clock, RunContext } from '../domain/run-context.ts'
import { sendSignal } from '../platform/child-process.ts'
import { systemClock } from '../platform/system-clock.ts'
import { startBackup } from './backup-session.ts'
import { parseConninfo, type Conninfo } from './conninfo.ts'

const request = { label: "20260220-153000F it's", fast: true }

for (const major of supportedMajors) {
  describe(`a backup session on PostgreSQL ${major}`, () => {
    test('gives label and map byte for byte, and is noticed when it is lost (R1, R2, R4, R19)', async () => {
      await using scratch = await createScratch('session')
      await using server = await startServer({ major, scratch })
      const location = await scratch.makeFolder('tablé')
      await server.query(`create tablespace side location '${location}'`)

      await givesLabelAndMap(server, location)
      await noticesItsLoss(server)
      await leavesBackupModeWhenDisposed(server)
      await noticesACrash(server)
    })
  })
}

describe('startBackup', () => {
  test('says what to grant to a role that may not take backups, on both spellings (R2)', async () => {
    await using scratch = await createScratch('grant')
    for (const [major, granted] of [
      [14, ['pg_start_backup(text, boolean, boolean)', 'pg_stop_backup(boolean, boolean)']],
      [18, ['pg_backup_start(text, boolean)', 'pg_backup_stop(boolean)']],
    ] as const) {
      await using server = await startServer({ major, scratch })
      await server.query('create role bk login')
      const conninfo = { ...conninfoOf(server), user: 'bk' }

      await assert.rejects(startBackup(conninfo, request, context()), lacks(granted[0]))
      await server.query(`grant execute on function ${granted[0]} to bk`)
      await using backup = await startBackup(conninfo, request, context())
      await assert.rejects(backup.stop(), lacks(granted[1]))
      await server.query(`grant execute on function ${granted[1]} to bk`)
      await using second = await startBackup(conninfo, request, context())
      await second.stop()
    }
  })

  test('is cut by an abort, also during the start checkpoint', async () => {
    await using scratch = await createScratch('abort')
    await using server = await startServer({ major: 17, scratch, settings: { checkpoint_timeout: '1h' } })
    await server.query('create table t as select generate_series(1, 200000) as n')
    const controller = new AbortController()
    const starting = startBackup(
      conninfoOf(server),
      { label: 'x', fast: false },
      { ...context(), signal: controller.signal },
    )
    await waitUntil('the backup to start', () => backends(server, 1))

    controller.abort(new Error('cancelled by test'))

    await assert.rejects(starting, /cancelled by test/)
    await waitUntil('the server to drop the session', () => backends(server, 0))
  })
})

describe('the keepalive of a backup session', () => {
  test('notices that a standby was promoted (R58)', async () => {
    await using scratch = await createScratch('promoted')
    await using server = await startServer({ major: 15, scratch })
    await server.stop()
    await writeFile(join(server.dataDirectory, 'standby.signal'), '')
    await server.start()
    await using backup = await startBackup(conninfoOf(server), request, { ...context(), clock: hastyClock() })
    assert.equal(backup.started.isInRecovery, true)

    await server.query('select pg_promote()')

    await waitUntil('the promotion to be noticed', () => backup.lost.aborted)
    assert.match(String(backup.lost.reason), /the standby was promoted during the backup/)
  })

  test('cuts a session that does not answer any more', async () => {
    await using scratch = await createScratch('silent')
    await using server = await startServer({ major: 18, scratch })
    await using backup = await startBackup(conninfoOf(server), request, { ...context(), clock: hastyClock() })
    const [row] = await server.query<{ pid: number }>(
      "select pid from pg_stat_activity where application_name = 'holdfast'",
    )
    assert.ok(row)

    sendSignal(row.pid, 'SIGSTOP')

    try {
      await waitUntil('the silence to be noticed', () => backup.lost.aborted)
      assert.match(String(backup.lost.reason), /did not answer for 30 s/)
    } finally {
      sendSignal(row.pid, 'SIGCONT')
    }
  })
})

/** The keepalive pauses and waits for its answer in turns: a short pause, then a patience that a live server meets. */
function hastyClock(): Clock {
  let sleepCount = 0
  return {
    ...systemClock,
    sleep: (_ms, signal) => {
      sleepCount += 1
      return systemClock.sleep(sleepCount % 2 === 1 ? 20 : 1000, signal)
    },
  }
}

async function givesLabelAndMap(server: TestServer, location: string): Promise<void> {
  await using backup = await startBackup(conninfoOf(server), request, context())
  const { started } = backup
  const stopped = await backup.stop()

  const label = stopped.labelFile.toString('utf8')
  assert.match(
    label,
    new RegExp(`^START WAL LOCATION: ${formatLsn(started.startLsn)} \\(file [0-9A-F]{24}\\)\n`),
  )
  assert.match(label, /^LABEL: 20260220-153000F it's$/m)
  assert.match(label, /^START TIMELINE: 1\n$/m)
  assert.match(stopped.tablespaceMap.toString('utf8'), new RegExp(`^\\d+ ${location}\n$`))
  assert.ok(stopped.stopLsn > started.startLsn)
  assert.equal(started.timeline, 1)
  assert.equal(started.isInRecovery, false)
  assert.ok(stopped.stopTime > started.startTime)
  assert.equal(backup.lost.aborted, false)
}

async function noticesItsLoss(server: TestServer): Promise<void> {
  await using backup = await startBackup(conninfoOf(server), request, context())

  await server.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'holdfast'",
  )

  await waitUntil('the loss to be noticed', () => backup.lost.aborted, { timeoutMs: 20_000 })
  assert.ok(isOperationError(backup.lost.reason, 'backup-interrupted'))
  assert.match(String(backup.lost.reason), /terminating connection/)
  await assert.rejects(backup.stop(), (error) => isOperationError(error, 'backup-interrupted'))
}

async function leavesBackupModeWhenDisposed(server: TestServer): Promise<void> {
  {
    await using _ = await startBackup(conninfoOf(server), request, context())
  }
  assert.equal(await backends(server, 0), true)
  assert.match(await server.log(), /aborting backup due to backend exiting/)
}

async function noticesACrash(server: TestServer): Promise<void> {
  await using backup = await startBackup(conninfoOf(server), request, context())

  await server.kill()

  await waitUntil('the crash to be noticed', () => backup.lost.aborted, { timeoutMs: 20_000 })
  await assert.rejects(backup.stop(), (error) => isOperationError(error, 'backup-interrupted'))
  await server.start()
}

function lacks(functionName: string): (error: unknown) => boolean {
  return (error) =>
    isOperationError(error, 'server-lacks-privilege') &&
    error.hint === `As a superuser, run: GRANT EXECUTE ON FUNCTION pg_catalog.${functionName} TO "bk";`
}

async function backends(server: TestServer, wanted: number): Promise<boolean> {
  const [row] = await server.query<{ count: number }>(
    "select count(*)::int as count from pg_stat_activity where application_name = 'holdfast'",
  )
  return row?.count === wanted
}

function conninfoOf(server: TestServer): Conninfo {
  return parseConninfo(server.connectionString, { user: 'nobody' })
}

function context(): RunContext {
  return { signal: new AbortController().signal, clock: systemClock, report: () => undefined }
}

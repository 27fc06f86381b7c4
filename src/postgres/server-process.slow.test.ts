import assert from 'node:assert/strict'
import { chmod, chown, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { createScratch, type Scratch } from '../../test/support/scratch.ts'
import { supportedMajors, type Major } from '../../test/support/server-binaries.ts'
import { isRoot } from '../../test/support/server-user.ts'
import { waitUntil } from '../../test/support/wait.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { runProcess, sendSignal } from '../platform/child-process.ts'
import { systemClock } from '../platform/system-clock.ts'
import { createRestorePoint, switchWal } from './archiver-status.ts'
import { rewriteAutoConf } from './auto-conf.ts'
import { startBackup } from './backup-session.ts'
import { parseConninfo, type Conninfo } from './conninfo.ts'
import { connect } from './connection.ts'
import { isPoisoned, parseControlFile, poisonControlFile, readControlFile } from './control-file.ts'
import { promote, readRecoveryStatus } from './recovery-status.ts'
import { readServerFacts } from './server-facts.ts'
import { startPrivateServer, type PrivateServer } from './server-process.ts'

for (const major of supportedMajors) {
  describe(`a restored PostgreSQL ${major} directory with a poisoned control file`, () => {
    test('starts with its label only, pauses at the target and is promoted (M8, R43, R45, R57)', async () => {
      await using scratch = await createScratch('private')
      await using source = await startServer({ major, scratch, settings: { wal_keep_size: '1GB' } })
      const restored = await restoreCopy(source, scratch)

      await refusesToStartWithoutLabel(source, restored)
      await recoversWithLabel(source, restored)
    })
  })
}

describe('startPrivateServer', () => {
  test('stops the server when it is disposed, leaves no process and keeps others out', async () => {
    await using scratch = await createScratch('dispose')
    const { major, binDirectory, dataDirectory } = await stoppedCluster(scratch)
    let pid = 0
    {
      await using server = await start(scratch, { major, binDirectory, dataDirectory })
      await server.waitUntilAccepting(context())
      pid = server.pid
      await using session = await connect(server.conninfo, context())
      const [row] = await session.query<{ listen: string; directories: string }>(
        `select pg_catalog.current_setting('listen_addresses') as listen,
                pg_catalog.current_setting('unix_socket_directories') as directories`,
      )
      assert.deepEqual(row, { listen: '', directories: `"${server.conninfo.host}"` })
      assert.equal(sendSignal(pid, 0), true)
    }

    assert.equal(sendSignal(pid, 0), false)
  })

  test('tells the end of a server that something else killed', async () => {
    await using scratch = await createScratch('killed')
    await using server = await start(scratch, await stoppedCluster(scratch))
    await server.waitUntilAccepting(context())

    sendSignal(server.pid, 'SIGQUIT')

    await waitUntil('its end', () => !server.isAlive())
  })

  test('stops gently when asked to', async () => {
    await using scratch = await createScratch('stop')
    const place = await stoppedCluster(scratch)
    await using server = await start(scratch, place)
    await server.waitUntilAccepting(context())

    await server.stop('fast', context())

    assert.deepEqual(await server.exited, { exitCode: 0, killedBy: undefined })
    const { control } = await readControlFile(join(place.dataDirectory, 'global', 'pg_control'), context())
    assert.equal(control.state, 'shut down')
  })

  test('refuses a socket directory that no socket fits into', async () => {
    await using scratch = await createScratch('long')
    const place = { major: 17, binDirectory: '/nowhere', dataDirectory: '/nowhere' } as const

    await assert.rejects(start(scratch, place, 'x'.repeat(90)), (error) =>
      isOperationError(error, 'path-unsafe'),
    )
  })

  test('reports the words of a server that cannot start', async () => {
    await using scratch = await createScratch('words')
    const place = await stoppedCluster(scratch)
    await using server = await start(scratch, place, 's', { shared_buffers: 'lots' })

    await assert.rejects(
      server.waitUntilAccepting(context()),
      (error) =>
        isOperationError(error, 'recovery-failed') && /invalid value for parameter/.test(error.message),
    )
  })
})

interface Place {
  readonly major: Major
  readonly binDirectory: string
  readonly dataDirectory: string
}

interface Restored extends Place {
  readonly scratch: Scratch
  readonly label: Buffer
}

/** A backup as our restore will leave it: label, poisoned control file, target and signal file. */
async function restoreCopy(source: TestServer, scratch: Scratch): Promise<Restored> {
  await source.query('create table t as select 1 as n')
  const dataDirectory = join(scratch.folder, 'restored')
  await using session = await connect(conninfoOf(source), context())
  await using backup = await startBackup(conninfoOf(source), { label: 'x', fast: true }, context())
  const copied = await runProcess('/bin/cp', ['-a', source.dataDirectory, dataDirectory])
  assert.equal(copied.exitCode, 0, copied.stderr)
  const { labelFile } = await backup.stop()
  await source.query('insert into t values (2)')
  await createRestorePoint(session, 'here')
  await source.query('insert into t values (3)')
  await switchWal(session)

  for (const name of ['postmaster.pid', 'postmaster.opts']) await rm(join(dataDirectory, name))
  const emptied = await runProcess('/usr/bin/find', [join(dataDirectory, 'pg_wal'), '-type', 'f', '-delete'])
  assert.equal(emptied.exitCode, 0, emptied.stderr)
  await poison(dataDirectory)
  await configure(dataDirectory, join(source.dataDirectory, 'pg_wal'))
  await give(join(dataDirectory, 'recovery.signal'), '', scratch)
  return { major: source.major, binDirectory: source.binDirectory, dataDirectory, scratch, label: labelFile }
}

async function poison(dataDirectory: string): Promise<void> {
  const path = join(dataDirectory, 'global', 'pg_control')
  const { bytes } = await readControlFile(path, context())
  await writeFile(path, poisonControlFile(bytes))
}

async function configure(dataDirectory: string, archive: string): Promise<void> {
  const path = join(dataDirectory, 'postgresql.auto.conf')
  const earlier = Buffer.concat([await readFile(path), Buffer.from("recovery_target_time = '2001-01-01'\n")])
  await writeFile(
    path,
    rewriteAutoConf(earlier, {
      restore_command: `cp '${archive}/%f' '%p'`,
      recovery_target_name: 'here',
      recovery_target_action: 'pause',
    }),
  )
}

async function refusesToStartWithoutLabel(source: TestServer, restored: Restored): Promise<void> {
  await using server = await start(restored.scratch, restored, 'a')

  await assert.rejects(
    server.waitUntilAccepting(context()),
    (error) =>
      isOperationError(error, 'recovery-failed') &&
      /could not locate (a valid|required) checkpoint record|could not locate a valid checkpoint/.test(
        error.message,
      ),
  )
  assert.equal(server.isAlive(), false)
  const control = parseControlFile(await readFile(join(restored.dataDirectory, 'global', 'pg_control')))
  assert.equal(isPoisoned(control), true)
  assert.equal(source.isRunning(), true)
}

async function recoversWithLabel(source: TestServer, restored: Restored): Promise<void> {
  await give(join(restored.dataDirectory, 'backup_label'), restored.label, restored.scratch)
  await using server = await start(restored.scratch, restored, 'b')
  await server.waitUntilAccepting(context())
  await using session = await connect(server.conninfo, context())

  const paused = await waitUntil('the pause at the target', async () => {
    const status = await readRecoveryStatus(session)
    return status.pauseState === 'paused' ? status : undefined
  })
  assert.equal(paused.isInRecovery, true)
  assert.equal(paused.timeline, 1)
  assert.match(paused.replayedCommitTime ?? '', /^\d{4}-.*\+00$/)
  const replica = await readServerFacts(session)
  assert.equal(replica.isInRecovery, true)
  assert.equal(replica.currentLsn, paused.replayLsn)

  await promote(session)
  await waitUntil('the end of recovery', async () => !(await readRecoveryStatus(session)).isInRecovery)

  const facts = await readServerFacts(session)
  assert.equal(facts.timeline, 2)
  assert.deepEqual(await session.query('select n from public.t order by n'), [{ n: '1' }, { n: '2' }])
  assert.equal(facts.version.major, source.major)
}

async function stoppedCluster(scratch: Scratch): Promise<Place> {
  await using server = await startServer({ major: 17, scratch })
  await server.stop()
  const { major, binDirectory, dataDirectory } = server
  return { major, binDirectory, dataDirectory }
}

// oxlint-disable-next-line max-params -- a builder; the last two rarely matter
async function start(
  scratch: Scratch,
  { binDirectory, dataDirectory }: Place,
  sockets = 's',
  settings: Record<string, string> = {},
): Promise<PrivateServer> {
  return startPrivateServer(
    {
      binDirectory,
      dataDirectory,
      socketDirectory: join(scratch.folder, sockets),
      logFile: join(scratch.folder, `log-${sockets.slice(0, 5)}`),
      settings,
      ...(isRoot() ? { owner: { uid: scratch.user.uid, gid: scratch.user.gid } } : {}),
    },
    context(),
  )
}

async function give(path: string, content: string | Buffer, scratch: Scratch): Promise<void> {
  await writeFile(path, content)
  await chmod(path, 0o600)
  if (isRoot()) await chown(path, scratch.user.uid, scratch.user.gid)
}

function conninfoOf(server: TestServer): Conninfo {
  return parseConninfo(server.connectionString, { user: 'nobody' })
}

function context(): RunContext {
  return { signal: AbortSignal.timeout(30_000), clock: systemClock, report: () => undefined }
}

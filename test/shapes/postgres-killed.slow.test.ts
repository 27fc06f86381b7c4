import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../src/platform/system-clock.ts'
import { manifestFolder } from '../../src/repository/object-keys.ts'
import { backupInProcess } from '../support/backup-in-process.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { fullCheck } from '../support/full-check.ts'
import { expectOk, type HoldfastResult } from '../support/holdfast.ts'
import { prepareLedger } from '../support/ledger-schema.ts'
import { startLedger, type Ledger } from '../support/ledger.ts'
import { processesIn } from '../support/live-processes.ts'
import type { TestServer } from '../support/postgres-server.ts'
import { startProtectedCluster, type ProtectedCluster } from '../support/protected-cluster.ts'
import { createScratch } from '../support/scratch.ts'
import type { RunningHoldfast } from '../support/start-holdfast.ts'
import { waitUntil } from '../support/wait.ts'

/** How the server ends: all at once, the postmaster alone, or by an immediate shutdown. */
const deaths = {
  'killed with all its children': (server: TestServer) => server.kill(),
  'killed without its children': killPostmaster,
  'stopped at once': (server: TestServer) => server.stop('immediate'),
}

interface Phase {
  /** Finishes the sentence "a backup whose server dies ...". */
  readonly name: string
  readonly death: keyof typeof deaths
  /** Starts a backup and resolves when it is in the phase; what it does is not over until the server is gone. */
  readonly enter: (cluster: ProtectedCluster) => Promise<RunningHoldfast>
  readonly error: RegExp
}

/** Tablespaces, names and what proves the archiving are asked for in sessions of their own: whichever notices it first. */
const anySession =
  /the backup session ended before the backup|session was lost|on .* failed: .*(shutting down|terminat|EPIPE|ECONNRESET|connect EC|closed)/

const phases: readonly Phase[] = [
  {
    name: 'while it proves that archiving works',
    death: 'killed without its children',
    enter: async (cluster) => {
      await cluster.server.reload({ archive_command: 'false' })
      return startUntil(cluster, { statement: 'pg_switch_wal', state: 'idle' })
    },
    error: anySession,
  },
  {
    name: 'during the start checkpoint',
    death: 'killed with all its children',
    enter: (cluster) =>
      startUntil(
        cluster,
        { statement: 'pg_(backup_start|start_backup)', state: 'active' },
        { env: { HOLDFAST_BACKUP_FAST_CHECKPOINT: 'false' } },
      ),
    error: anySession,
  },
  {
    name: 'while files are copied',
    death: 'stopped at once',
    enter: (cluster) => startCopying(cluster, 'full'),
    error: anySession,
  },
  {
    name: 'while an incremental one reads what has changed',
    death: 'killed with all its children',
    enter: (cluster) => startCopying(cluster, 'incr'),
    error: anySession,
  },
  {
    name: 'when all is copied and the backup is to be stopped',
    death: 'killed with all its children',
    enter: async (cluster) => {
      const before = (await cluster.keys('data')).length
      const running = await startCopying(cluster, 'full')
      process.kill(await sessionPid(cluster), 'SIGSTOP') // so it will never stop the backup
      await waitUntil('the packs to be stored', async () => (await cluster.keys('data')).length > before)
      await sleep(500)
      return running
    },
    error: new RegExp(`${anySession.source}|stopping the backup`),
  },
  {
    name: 'while the WAL of the backup is archived',
    death: 'killed without its children',
    enter: async (cluster) => {
      const running = await startCopying(cluster, 'full')
      await stopWithoutArchiving(cluster)
      return running
    },
    error:
      /waiting for the WAL of backup \S+F: the server has not answered for \d+ s: connecting on .*ECONNREFUSED/,
  },
]

describe('a backup whose server dies', () => {
  test('fails soon with one error, lists nothing, and the next one works and restores (C1)', async (t) => {
    await using scratch = await createScratch('dying')
    await using cluster = await startProtectedCluster(scratch, { settings: { checkpoint_timeout: '1h' } })
    await prepareLedger(cluster.server)
    await using ledger = await startLedger(cluster.server, { ratePerSecond: 60 })
    await ledger.advance(20)

    for (const phase of phases) {
      await t.test(`${phase.name}, ${phase.death}`, () => dieIn(phase, cluster))
      if (!cluster.server.isRunning()) return // what follows would only fail, too
    }

    const [newest] = (await cluster.listed()).toReversed()
    await recoverAndCheck(cluster, { ledger, label: newest?.label ?? '' })
  })

  test('before it begins says that it cannot connect', async () => {
    await using scratch = await createScratch('dead')
    await using cluster = await startProtectedCluster(scratch)
    await cluster.server.kill()

    const result = await cluster.run(['backup'])

    expectOneError(result, /connecting on .* failed: connect E/)
    await expectSound(cluster, 0)
  })

  test('after it has stopped the backup succeeds if the server comes back and archives (C1)', async () => {
    await using scratch = await createScratch('back')
    await using cluster = await startProtectedCluster(scratch)
    const { server } = cluster
    await prepareLedger(server)
    await using ledger = await startLedger(server, { ratePerSecond: 60 })
    const running = await startCopying(cluster, 'full')
    await stopWithoutArchiving(cluster)

    await server.kill()
    await server.setSetting('archive_command', cluster.archiveCommand)
    await server.start()

    expectOk(await running.ended)
    const [backup] = await cluster.listed()
    await recoverAndCheck(cluster, { ledger, label: backup?.label ?? '' })
  })

  test('while it is published needs it no more (C1)', async () => {
    await using scratch = await createScratch('published')
    await using cluster = await startProtectedCluster(scratch)
    const { server } = cluster
    await prepareLedger(server)
    await using ledger = await startLedger(server, { ratePerSecond: 60 })
    await ledger.advance(20)

    await using place = await cluster.archive.place()
    const clock = { ...systemClock, sleep: () => server.kill() }
    const at = { operation: 'putIfAbsent', subject: manifestFolder(place.cluster.id), call: 1 } as const
    const { label } = await backupInProcess(cluster, {
      wrapStore: (store) => new FaultyStore(store, [{ kind: 'delay', ms: 0, clock, at }]),
    })

    assert.ok(!server.isRunning())

    await expectSound(cluster, 1)
    await server.start()
    await recoverAndCheck(cluster, { ledger, label })
  })
})

async function dieIn({ death, enter, error }: Phase, cluster: ProtectedCluster): Promise<void> {
  const { server } = cluster
  const listedBefore = (await cluster.listed()).length
  const running = await enter(cluster)

  await deaths[death](server)

  const diedAt = performance.now()
  expectOneError(await running.ended, error)
  const seconds = (performance.now() - diedAt) / 1000
  assert.ok(seconds < 30, `it took ${seconds} s to fail`)
  await expectSound(cluster, listedBefore)
  await server.setSetting('archive_command', cluster.archiveCommand)
  await server.start()
  await cluster.takeBackup()
  await expectSound(cluster, listedBefore + 1)
}

/** It left with one error line, and says what to do. */
function expectOneError(result: HoldfastResult, error: RegExp): void {
  const lines = result.stderr.split('\n').filter((line) => line.startsWith('error:'))
  assert.equal(lines.length, 1, result.stderr)
  assert.match(lines[0] ?? '', error)
  assert.doesNotMatch(result.stderr, /internal error|suppressed|aborted/i)
  assert.equal(result.code, 1, result.stderr)
}

/** As many backups are listed, nothing else has left anything, and the server is not in backup mode. */
async function expectSound(cluster: ProtectedCluster, listedCount: number): Promise<void> {
  const listed = await cluster.listed()
  assert.equal(listed.length, listedCount)
  const stored = [...(await cluster.keys('data')), ...(await cluster.keys('backup'))]
  const strays = stored.filter((key) => !listed.some(({ label }) => key.includes(label)))
  assert.deepEqual(strays, [], 'an orderly failure takes away what it stored')
  for (const name of ['backup_label', 'tablespace_map'])
    assert.ok(!existsSync(join(cluster.server.dataDirectory, name)), `a ${name} in the data directory`)
}

async function recoverAndCheck(
  cluster: ProtectedCluster,
  { ledger, label }: { readonly ledger: Ledger; readonly label: string },
): Promise<void> {
  await ledger.advance(20)
  await ledger.stop()
  await using recovered = await cluster.recover(label)
  await fullCheck(recovered, { expected: ledger.expected(), exact: true })
}

/** Slow enough for what the phases do in the midst of it. */
function startCopying(cluster: ProtectedCluster, type: 'full' | 'incr'): Promise<RunningHoldfast> {
  const started = { statement: 'from pg_catalog.pg_control_checkpoint', state: 'idle' } as const
  return startUntil(cluster, started, { type, args: ['--max-rate', '12MB'] })
}

interface Statement {
  /** A regular expression for a part of it. */
  readonly statement: string
  /** 'idle': it was answered. */
  readonly state: 'active' | 'idle'
}

interface Start {
  /** Default: full. */
  readonly type?: 'full' | 'incr'
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a backup and resolves when a session of it is at this statement. */
async function startUntil(
  cluster: ProtectedCluster,
  statement: Statement,
  { type = 'full', args = [], env = {} }: Start = {},
): Promise<RunningHoldfast> {
  const running = cluster.start(['backup', '--type', type, ...args], {
    HOLDFAST_BACKUP_ARCHIVE_TIMEOUT: '2m',
    ...env,
  })
  let early: HoldfastResult | undefined
  void running.ended.then((result) => (early = result))
  await untilStatement(cluster, statement, () => early !== undefined)
  assert.equal(early, undefined, 'it ended before it came to that')
  return running
}

/** Resolves when the backup has stopped and waits for WAL that nobody archives. */
async function stopWithoutArchiving(cluster: ProtectedCluster): Promise<void> {
  const pid = await sessionPid(cluster)
  process.kill(pid, 'SIGSTOP') // or it might have been archived before the setting is there
  await cluster.server.reload({ archive_command: 'false' })
  await failToArchive(cluster)
  process.kill(pid, 'SIGCONT')
  await untilStatement(cluster, { statement: 'pg_(backup_stop|stop_backup)', state: 'idle' })
}

/** The last segment of a backup is stored by the backup itself: so that it waits, another one must not be archived. */
async function failToArchive({ server }: ProtectedCluster): Promise<void> {
  const failures = async (): Promise<number> => {
    const [row] = await server.query<{ count: string }>(
      'select failed_count::text as count from pg_stat_archiver',
    )
    return Number(row?.count)
  }
  const before = await failures()
  await server.query('create table if not exists more (v int)')
  await waitUntil('archiving to fail', async () => {
    await server.query('insert into more values (1)')
    await server.query('select pg_switch_wal()')
    await sleep(200)
    return (await failures()) > before
  })
  // Until then the push of an earlier segment may have been at work, and have taken later ones along.
  await server.query('insert into more values (1)')
  await server.query('select pg_switch_wal()')
  await server.query('insert into more values (1)')
}

/** There are other sessions, which ask for tablespaces and names. */
async function sessionPid({ server }: ProtectedCluster): Promise<number> {
  const [row] = await server.query<{ pid: number }>(
    `select pid from pg_stat_activity
       where application_name = 'holdfast' and query ~ 'from pg_catalog.pg_control_checkpoint'`,
  )
  return row?.pid ?? assert.fail('no session of a backup')
}

async function untilStatement(
  { server }: ProtectedCluster,
  { statement, state }: Statement,
  isOver = (): boolean => false,
): Promise<void> {
  await waitUntil(`a session at ${statement}`, async () => {
    const [row] = await server.query<{ count: string }>(
      "select count(*) from pg_stat_activity where application_name = 'holdfast' and query ~ $1 and state = $2",
      [statement, state],
    )
    return isOver() || row?.count !== '0'
  })
}

/** The children notice it by themselves. */
async function killPostmaster(server: TestServer): Promise<void> {
  const { pid } = server
  assert.ok(pid !== undefined)
  process.kill(pid, 'SIGKILL')
  await waitUntil('the end of its children', () => processesIn(server.dataDirectory).length === 0)
}

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readArchiveInventory } from '../src/archive/archive-inventory.ts'
import { recordingContext } from './support/archive-fixture.ts'
import { createArchiveSite, giveAll, type ArchiveSite } from './support/archive-site.ts'
import { openServer, startServer, type TestServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { waitUntil } from './support/wait.ts'

const archiving = { archive_mode: 'on', archive_command: 'false', wal_level: 'replica' }

describe('archiving through the rendered archive_command', () => {
  for (const [major, walSegmentSizeMb] of [
    [14, 1],
    [18, 16],
    [16, 64],
  ] as const) {
    test(`gets every segment of PostgreSQL ${major} with ${walSegmentSizeMb} MiB out of hostile places (R35)`, async () => {
      await using scratch = await createScratch('push')
      await using server = await startServer({ major, scratch, walSegmentSizeMb, settings: archiving })
      const site = await createArchiveSite(scratch, server)
      await server.reload({ archive_command: inFile(site.archiveCommand) })

      await writeWal(server, 3)
      await untilArchived(server)

      await assertComplete(site, server, 3n)
    })
  }

  test('drains a queue of 200 segments with few starts of Node (R27)', async () => {
    await using scratch = await createScratch('queue')
    await using server = await startServer({ major: 16, scratch, walSegmentSizeMb: 1, settings: archiving })
    const site = await createArchiveSite(scratch, server)
    await writeWal(server, 200)

    const began = performance.now()
    await server.reload({ archive_command: inFile(site.archiveCommand) })
    await untilArchived(server)
    const seconds = (performance.now() - began) / 1000

    await assertComplete(site, server, 200n)
    const starts = await site.starts()
    assert.ok(starts.length <= 20, `Node was started ${starts.length} times in ${seconds.toFixed(1)} s`)
    const leftovers = await readdir(join(server.dataDirectory, 'pg_wal', 'holdfast-ack'))
    assert.deepEqual(leftovers, ['.repositories'])
  })
})

describe('recovering through the rendered restore_command', () => {
  for (const [major, walSegmentSizeMb] of [
    [14, 1],
    [18, 16],
  ] as const) {
    test(`replays all WAL of PostgreSQL ${major}, with segments fetched ahead (R39)`, async () => {
      await using scratch = await createScratch('replay')
      await using server = await startServer({ major, scratch, walSegmentSizeMb, settings: archiving })
      const site = await createArchiveSite(scratch, server)
      const copy = await copyOfStopped(server, scratch)
      await server.reload({ archive_command: inFile(site.archiveCommand) })
      const [segmentCount, rows] = walSegmentSizeMb === 1 ? [100, 5000] : [20, 120_000]
      await writeWal(server, segmentCount, rows)
      await untilArchived(server)
      await server.stop()
      await site.forgetStarts()

      await using restored = await recover(copy, { site, major, scratch })

      const [found] = await restored.query<{ rows: string }>('select count(*)::text as rows from filling')
      assert.equal(found?.rows, String(segmentCount * rows))
      const gets = (await site.starts()).filter((start) =>
        /archive-get --mode recovery --absent-code 93 "?0000000[0-9A-F]{17,}"? /.test(start),
      )
      // How many is a matter of speed, for a bench to say: here, that there are any.
      assert.ok(gets.length < segmentCount, `archive-get was started for ${gets.length} segments`)
      await waitUntil(
        'the end of the prefetcher',
        async () => !(await readdir(join(copy, 'pg_wal'))).includes('holdfast-prefetch'),
      )
    })
  }

  test('stops at a damaged segment instead of promoting there (M4)', async () => {
    await using scratch = await createScratch('damage')
    await using server = await startServer({ major: 16, scratch, walSegmentSizeMb: 1, settings: archiving })
    const site = await createArchiveSite(scratch, server)
    const copy = await copyOfStopped(server, scratch)
    await server.reload({ archive_command: inFile(site.archiveCommand) })
    await writeWal(server, 10)
    await untilArchived(server)
    await server.stop()
    await damageOneObject(site)

    await assert.rejects(async () => {
      await using restored = await recover(copy, { site, major: 16, scratch })
      await restored.stop()
    })

    const log = await allLogs(scratch)
    assert.match(log, /archive recovery/)
    assert.doesNotMatch(log, /selected new timeline/)
  })
})

describe('a server that recovers', () => {
  test('dies instead of promoting when the program is gone (M1, M10, R39)', async () => {
    await using scratch = await createScratch('gone')
    await using server = await startServer({ major: 17, scratch, walSegmentSizeMb: 1, settings: archiving })
    const site = await createArchiveSite(scratch, server)
    const copy = await copyOfStopped(server, scratch)
    await server.stop()
    const restoreCommand = site.restoreCommand({ programPath: '/opt/gone/bin/holdfast' })

    await assert.rejects(recover(copy, { site, major: 17, scratch, restoreCommand }))

    const log = await allLogs(scratch)
    assert.match(log, /Cannot find module '\/opt\/gone\/bin\/holdfast'/)
    assert.match(log, /FATAL: {2}could not restore file "00000002.history" from archive/)
    assert.doesNotMatch(log, /selected new timeline/)
  })

  test('stops fast, without promoting, while archive-get takes its time (M1, M3)', async () => {
    await using scratch = await createScratch('slow')
    await using server = await startServer({ major: 17, scratch, walSegmentSizeMb: 1, settings: archiving })
    const site = await createArchiveSite(scratch, server)
    const copy = await copyOfStopped(server, scratch)
    await server.stop()
    const nodePath = join(site.folder, 'waiting-node')
    const script = 'process.on("SIGTERM", () => process.exit(143)); setInterval(() => 0, 1000)'
    await writeFile(
      nodePath,
      `#!/bin/sh\necho >'${scratch.folder}/waits'\nexec '${process.execPath}' -e '${script}'\n`,
      { mode: 0o755 },
    )
    await giveAll(site.folder, scratch)
    const restored = recover(copy, {
      site,
      major: 17,
      scratch,
      restoreCommand: site.restoreCommand({ nodePath }),
    })
    const failure = assert.rejects(restored)
    await waitUntil('archive-get', () => existsSync(join(scratch.folder, 'waits')))

    const began = performance.now()
    const [postmaster] = (await readFile(join(copy, 'postmaster.pid'), 'utf8')).split('\n')
    process.kill(Number(postmaster), 'SIGINT')
    await waitUntil('the end of the server', () => !existsSync(join(copy, 'postmaster.pid')))
    assert.ok(performance.now() - began < 5000)
    await failure

    assert.doesNotMatch(await allLogs(scratch), /selected new timeline|could not restore file/)
  })
})

async function allLogs({ folder }: Scratch): Promise<string> {
  const logs = (await readdir(folder)).filter((file) => /^server-.*[.]log$/.test(file))
  return (await Promise.all(logs.map((file) => readFile(join(folder, file), 'utf8')))).join('')
}

interface Recovery {
  readonly site: ArchiveSite
  readonly major: 14 | 16 | 17 | 18
  readonly scratch: Scratch
  readonly restoreCommand?: string
}

/** A base to recover from: the directory of the server while it is stopped. */
async function copyOfStopped(server: TestServer, scratch: Scratch): Promise<string> {
  await server.stop()
  const copy = join(scratch.folder, 'copy')
  await cp(server.dataDirectory, copy, { recursive: true, preserveTimestamps: true })
  await giveAll(copy, scratch)
  await chmod(copy, 0o700)
  await server.start()
  return copy
}

async function recover(copy: string, recovery: Recovery): Promise<TestServer> {
  const { site, major, scratch, restoreCommand = site.restoreCommand() } = recovery
  const signal = join(copy, 'recovery.signal')
  await writeFile(signal, '')
  await giveAll(copy, scratch)
  const settings = {
    restore_command: restoreCommand,
    archive_mode: 'off',
    recovery_target_timeline: 'latest',
  }
  const server = await openServer({ dataDirectory: copy, major, scratch, settings, startTimeoutMs: 60_000 })
  const end = await waitUntil('the end of recovery', async () => {
    if (!server.isRunning()) return 'died'
    const [state] = await server.query<{ running: boolean }>('select pg_is_in_recovery() as running')
    return state?.running === false && 'recovered'
  })
  assert.equal(end, 'recovered')
  return server
}

async function damageOneObject(site: ArchiveSite): Promise<void> {
  const entries = await readdir(site.repositoryFolder, { recursive: true, withFileTypes: true })
  const segments = entries
    .filter(({ name }) => name.endsWith('.00'))
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
  const victim = segments[5]
  assert.ok(victim)
  const path = join(victim.parentPath, victim.name)
  const bytes = await readFile(path)
  const middle = Math.floor(bytes.length / 2)
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
  await chmod(path, 0o600)
  await writeFile(path, bytes)
}

/** The test server's settings file takes backslashes for escapes. */
const inFile = (command: string): string => command.replaceAll('\\', '\\\\')

/** Fills segments; each call of pg_switch_wal needs something written before it. */
async function writeWal(server: TestServer, segmentCount: number, rows = 50): Promise<void> {
  await using session = await server.session()
  await session.query('create table if not exists filling (text text)')
  for (let index = 0; index < segmentCount; index += 1) {
    await session.query(`insert into filling select md5(i::text) from generate_series(1, ${rows}) i`)
    await session.query('select pg_switch_wal()')
  }
}

/** Until nothing waits. */
async function untilArchived(server: TestServer): Promise<void> {
  const folder = join(server.dataDirectory, 'pg_wal', 'archive_status')
  await waitUntil(
    'the end of the archiving queue',
    async () => {
      const entries = await readdir(folder)
      return (
        entries.some((entry) => entry.endsWith('.done')) && !entries.some((entry) => entry.endsWith('.ready'))
      )
    },
    { timeoutMs: 30_000, intervalMs: 100 },
  ).catch(async (error: unknown) => {
    throw new Error(`not archived; the log of the server:\n${(await server.log()).slice(-1500)}`, {
      cause: error,
    })
  })
}

/** At least so many segments are there and none is missing in between. */
async function assertComplete(site: ArchiveSite, server: TestServer, atLeast: bigint): Promise<void> {
  const [current] = await server.query<{ name: string }>(
    'select pg_walfile_name(pg_current_wal_lsn()) as name',
  )
  await using place = await site.place()
  const { timelines, conflicts } = await readArchiveInventory(place, recordingContext())
  assert.equal(timelines.length, 1)
  assert.deepEqual(timelines[0]?.gaps, [])
  const [range] = timelines[0].ranges
  assert.ok(range !== undefined && range.count >= atLeast && range.last <= (current?.name ?? ''))
  assert.deepEqual(conflicts, [])
}

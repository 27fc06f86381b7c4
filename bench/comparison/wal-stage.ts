import { readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeSettings } from '../../test/support/initialize-cluster.ts'
import { openServer, type TestServer } from '../../test/support/postgres-server.ts'
import type { BenchFolder } from './bench-folder.ts'
import { benchMajor } from './big-cluster.ts'
import type { Contestant } from './contestant.ts'
import { measureProcess, type Usage } from './measured-process.ts'
import { cpuSecondsOf, processTitle, withDescendants } from './process-tree.ts'
import { settle } from './settle.ts'
import { watchTool } from './tool-watch.ts'
import type { WalCluster } from './wal-cluster.ts'

const givesUpAfterMs = 300_000

/** The server that has all its WAL still in pg_wal, archiving to nobody. */
export async function startWalServer(folder: BenchFolder, { after }: WalCluster): Promise<TestServer> {
  // Not on the command line, where no file could change it.
  await writeSettings(after, { archive_command: '' })
  return openServer({
    dataDirectory: after,
    major: benchMajor,
    scratch: folder.scratch,
    settings: { archive_mode: 'on', wal_keep_size: '8GB', autovacuum: false },
  })
}

/** Lets the server's archiver hand all segments to the tool, whose repository is empty; until the last one is archived. */
export async function drainArchive(
  contestant: Contestant,
  server: TestServer,
  segments: readonly string[],
): Promise<Usage> {
  await server.reload({ archive_command: '' })
  await contestant.prepare(server)
  await setStatus(server, segments, 'ready')
  await settle({ isCold: false })
  const archiver = archiverOf(server)
  const cpuBefore = cpuSecondsOf(archiver).children
  const watch = watchTool(contestant.folder, archiver)
  const start = performance.now()
  await server.setSetting('archive_command', contestant.archiveCommand())
  await server.query('select pg_reload_conf()')
  await untilArchived(server, segments)
  const wallSeconds = (performance.now() - start) / 1000
  await server.reload({ archive_command: '' })
  await untilQuiet(archiver)
  const { memoryBytes, strayCpuSeconds } = watch.stop()
  const cpuSeconds = cpuSecondsOf(archiver).children - cpuBefore + strayCpuSeconds
  return { wallSeconds, memoryBytes, cpuSeconds, readBytes: undefined, diskReadBytes: undefined }
}

/** How long the archive_command takes for one segment when nothing was pushed ahead: in seconds, one for each segment. */
export async function pushOneByOne(
  contestant: Contestant,
  server: TestServer,
  segments: readonly string[],
): Promise<readonly number[]> {
  await server.reload({ archive_command: '' })
  await contestant.prepare(server)
  await setStatus(server, segments, 'done')
  await settle({ isCold: false })
  const seconds: number[] = []
  for (const name of segments) {
    const command = contestant
      .archiveCommand()
      .replaceAll(/%(.)/g, (_, what: string) => ({ p: `pg_wal/${name}`, f: name })[what] ?? what)
    const shell = { file: '/bin/sh', args: ['-c', command], cwd: server.dataDirectory }
    const { wallSeconds } = await measureProcess(shell, { user: server.user })
    seconds.push(wallSeconds)
  }
  return seconds
}

async function setStatus(
  server: TestServer,
  segments: readonly string[],
  status: 'ready' | 'done',
): Promise<void> {
  const folder = join(server.dataDirectory, 'pg_wal', 'archive_status')
  const names = new Set(await readdir(folder))
  const other = status === 'ready' ? 'done' : 'ready'
  for (const segment of segments) {
    if (names.has(`${segment}.${status}`)) continue
    await rename(join(folder, `${segment}.${other}`), join(folder, `${segment}.${status}`))
  }
}

async function untilArchived(server: TestServer, segments: readonly string[]): Promise<void> {
  const folder = join(server.dataDirectory, 'pg_wal', 'archive_status')
  const deadline = performance.now() + givesUpAfterMs
  for (;;) {
    const names = new Set(await readdir(folder))
    if (segments.every((segment) => names.has(`${segment}.done`))) return
    if (performance.now() > deadline) throw new Error(`not archived in time; see ${await server.log()}`)
    await sleep(5)
  }
}

/** What works ahead may go on for a moment: its CPU time belongs to what it did. */
async function untilQuiet(archiver: number): Promise<void> {
  const deadline = performance.now() + 20_000
  while (withDescendants(archiver).length > 1 && performance.now() < deadline) await sleep(20)
}

function archiverOf(server: TestServer): number {
  const found = withDescendants(server.pid ?? 0).find((pid) => processTitle(pid).includes(': archiver'))
  if (found === undefined) throw new Error('the server has no archiver')
  return found
}

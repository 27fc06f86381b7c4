import { cp, copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { giveTree } from '../../test/support/give-tree.ts'
import { writeSettings } from '../../test/support/initialize-cluster.ts'
import { serverBinaries } from '../../test/support/server-binaries.ts'
import type { BenchFolder } from './bench-folder.ts'
import { benchMajor } from './big-cluster.ts'
import { emptyFolder } from './empty-folder.ts'
import { measureProcess, type Usage } from './measured-process.ts'
import { settle } from './settle.ts'
import { watchTool } from './tool-watch.ts'
import type { WalCluster } from './wal-cluster.ts'

/** The first exit code is of a server that shut itself down at the target; older ones end with the second. */
const shutdownAtTarget = [0, 1]

/** Where the restore_command gets its segments from. */
export interface Feed {
  restoreCommand(dataDirectory: string): string
  /** In the command lines of all of its processes. */
  readonly folder: string
}

/** Plain copies of the segments, fed by `cp`: what a replay takes at least. */
export async function localCopies(folder: BenchFolder, wal: WalCluster): Promise<Feed> {
  const copies = await emptyFolder(join(folder.path, 'copies'), folder.user)
  for (const segment of wal.segments)
    await copyFile(join(wal.after, 'pg_wal', segment), join(copies, segment))
  await giveTree(copies, folder.user)
  return { folder: copies, restoreCommand: () => `cp ${copies}/%f "%p"` }
}

/**
 * Recovers the small cluster from before the work to after it. The wall time is by the server's log, from the start of
 * the redo to its end; the other figures are of the whole server with all that it started.
 */
export async function replay(feed: Feed, folder: BenchFolder, wal: WalCluster): Promise<Usage> {
  const home = await emptyFolder(join(folder.path, 'replay'), folder.user)
  const dataDirectory = join(home, 'data')
  await cp(wal.before, dataDirectory, { recursive: true })
  await writeFile(join(dataDirectory, 'recovery.signal'), '')
  await writeSettings(dataDirectory, {
    archive_mode: 'off',
    hot_standby: false,
    shared_buffers: '256MB',
    max_wal_size: '4GB',
    listen_addresses: '',
    unix_socket_directories: home,
    restore_command: feed.restoreCommand(dataDirectory),
    recovery_target_lsn: wal.endLsn,
    recovery_target_action: 'shutdown',
  })
  await giveTree(home, folder.user)
  await settle({ isCold: false })
  const watch = watchTool(feed.folder, process.pid)
  const file = join(await serverBinaries(benchMajor), 'postgres')
  const usage = await measureProcess(
    { file, args: ['-D', dataDirectory] },
    { user: folder.user, expected: shutdownAtTarget },
  )
  const { memoryBytes, strayCpuSeconds } = watch.stop()
  const wallSeconds = replaySeconds(usage.stderr)
  await emptyFolder(home, folder.user)
  return { ...usage, wallSeconds, memoryBytes, cpuSeconds: usage.cpuSeconds + strayCpuSeconds }
}

/** By the server's log, whose lines begin with their time. */
function replaySeconds(log: string): number {
  const momentOf = (message: string): number => {
    const line = log.split('\n').find((candidate) => candidate.includes(message))
    const moment = /^(\S+) (\S+) UTC/.exec(line ?? '')
    if (moment === null) throw new Error(`the replay did not get to "${message}":\n${log}`)
    return Date.parse(`${moment[1]}T${moment[2]}Z`)
  }
  return (momentOf('recovery stopping after WAL location') - momentOf('redo starts at')) / 1000
}

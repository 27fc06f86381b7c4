import assert from 'node:assert/strict'
import { runBackup } from '../../src/backup/run-backup.ts'
import type { RunEvent } from '../../src/domain/run-context.ts'
import { systemClock } from '../../src/platform/system-clock.ts'
import { parseConninfo } from '../../src/postgres/conninfo.ts'
import type { BackupEntry } from '../../src/repository/backup-entry.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { giveTree } from './give-tree.ts'
import type { ProtectedCluster } from './protected-cluster.ts'
import { waitUntil } from './wait.ts'

interface InProcessBackup {
  /** What is done in the midst of the backup, and after which event. */
  readonly interruption?: { readonly after: (event: RunEvent) => boolean; readonly act: () => Promise<void> }
  readonly maxRate?: number
  /** Stands in front of the repository's store. */
  readonly wrapStore?: (store: ObjectStore) => ObjectStore
  readonly report?: (event: RunEvent) => void
}

/**
 * Takes a backup in this process, with one worker. The interruption comes when the work sleeps for the first time after
 * the event, so the work stands still meanwhile: what is tested does not hang on how fast the machine is.
 */
export async function backupInProcess(
  cluster: ProtectedCluster,
  { interruption, maxRate, wrapStore = (store) => store, report = () => undefined }: InProcessBackup,
): Promise<BackupEntry> {
  const interrupted = { isDue: false, isOver: interruption === undefined }
  const clock = {
    ...systemClock,
    sleep: async (ms: number, signal: AbortSignal): Promise<void> => {
      if (interrupted.isDue && !interrupted.isOver) {
        interrupted.isOver = true
        await interruption?.act()
      }
      await systemClock.sleep(ms, signal)
    },
  }
  const observe = (event: RunEvent): void => {
    interrupted.isDue ||= interruption?.after(event) === true
    report(event)
  }
  await archiveFirstSegment(cluster)
  await using place = await cluster.archive.place()
  const repository = { ...place.repository, store: wrapStore(place.repository.store) }
  const backup = await runBackup(
    {
      conninfo: parseConninfo(cluster.server.connectionString, { user: 'postgres' }),
      dataDirectory: undefined,
      links: 'error',
      isCheckpointFast: true,
      workers: 1,
      compressionLevel: 1,
      maxRate,
      archiveTimeoutMs: 30_000,
      type: 'full',
      isAudit: false,
      auditEvery: 30,
      damaged: new Set(),
    },
    { repository, cluster: place.cluster },
    { signal: new AbortController().signal, clock, report: observe },
  )
  assert.ok(interrupted.isOver, 'the backup was never interrupted')
  await giveTree(cluster.archive.repositoryFolder, cluster.scratch.user)
  return backup
}

/** The tests may run as root: what the server's user is to write into later must not be made by us. */
async function archiveFirstSegment(cluster: ProtectedCluster): Promise<void> {
  await cluster.server.query("select pg_logical_emit_message(false, 'test', 'first')")
  await cluster.server.query('select pg_switch_wal()')
  await waitUntil('the first segment in the archive', async () => (await cluster.keys('wal')).length > 0)
}

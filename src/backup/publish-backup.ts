import { join } from 'node:path'
import { waitForWal } from '../archive/wait-for-wal.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { besides } from '../platform/besides.ts'
import { formatPostgresVersion } from '../domain/postgres-version.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import type { StartedBackup, StoppedBackup } from '../postgres/backup-session.ts'
import { connect } from '../postgres/connection.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { changeCatalogue } from '../repository/catalogue.ts'
import { ManifestWriter } from '../repository/manifest-writer.ts'
import { refuseMissingTablespaces } from './refuse-missing-tablespaces.ts'
import type { CopiedCluster } from './copy-cluster.ts'
import { describeArchiver } from './prove-archiving.ts'
import { manifestContentOf } from './manifest-entries-of.ts'
import type { BackupRequest, BackupTools } from './run-backup.ts'
import { watchServer } from './watch-server.ts'

const firstRevision = 1

export interface Publishing {
  readonly request: BackupRequest
  readonly facts: ServerFacts
  readonly label: BackupLabel
  readonly started: StartedBackup
  readonly stopped: StoppedBackup
  readonly copied: CopiedCluster
}

/**
 * Makes a finished copy a backup: stores the manifest while it waits until all its WAL is in the repository and verified
 * (R18), then lists it. Until the catalogue entry is written there is no backup. `confirm` proves right before that nobody has
 * taken over.
 */
export async function publishBackup(
  publishing: Publishing,
  { repository, cluster }: BackupTools,
  { context, confirm }: { context: RunContext; confirm: () => Promise<void> },
): Promise<BackupEntry> {
  const { stopped, copied } = publishing
  refuseMissingTablespaces(stopped.tablespaceMap, copied.scan)
  context.report({ kind: 'note', message: 'copied; waiting for the WAL of the backup to be archived' })
  const place = { repository, cluster }
  const backup = await besides(
    {
      other: (waiting) => awaitWal(publishing, place, waiting),
      work: (writing) => writeManifest(publishing, place, writing),
    },
    context,
  )
  const change = { kind: 'publish', backup } as const
  await changeCatalogue(repository, { clusterId: cluster.id, change, confirm }, context)
  return backup
}

/**
 * All WAL of the backup is on the server's disk by now: a server that crashes and comes back archives it. One that does
 * not come back is not waited for.
 */
async function awaitWal(publishing: Publishing, place: BackupTools, context: RunContext): Promise<void> {
  const { request, facts, started, stopped, label } = publishing
  const wait = {
    timeline: started.timeline,
    fromLsn: started.startLsn,
    toLsn: stopped.stopLsn,
    timeoutMs: request.archiveTimeoutMs,
    // Its archiver starts a process for it, which takes as long as a small backup. That it works was proven before.
    walFolder: join(facts.dataDirectory, 'pg_wal'),
    askServer: () => askArchiver(publishing, context),
  }
  await using watch = watchServer(request.conninfo, context)
  const signal = AbortSignal.any([context.signal, watch.gone])
  try {
    await waitForWal(wait, { repositories: [place] }, { ...context, signal })
  } catch (error) {
    if (watch.gone.aborted && !context.signal.aborted) throw abandoned(label, watch.gone.reason)
    throw error
  }
}

function abandoned(label: BackupLabel, cause: unknown): OperationError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new OperationError('backup-interrupted', `waiting for the WAL of backup ${label}: ${why}`, {
    cause,
    hint: 'Nothing of this backup is kept; start the server, then take the backup again.',
  })
}

/** A detail of a failure that is reported anyway: that there is no answer is one too. */
async function askArchiver({ request, facts }: Publishing, context: RunContext): Promise<string> {
  try {
    await using session = await connect(request.conninfo, context)
    return await describeArchiver(session, facts)
  } catch (error) {
    return `the server cannot be asked: ${error instanceof Error ? error.message : String(error)}`
  }
}

/** Stores the manifest, its head last. Gives what the catalogue is to say about the backup. */
async function writeManifest(
  publishing: Publishing,
  { repository, cluster }: BackupTools,
  context: RunContext,
): Promise<BackupEntry> {
  const { label, stopped, copied, facts } = publishing
  const name = { clusterId: cluster.id, label, revision: firstRevision }
  const manifest = new ManifestWriter(repository, name, context)
  const totals = { fileCount: 0, restoredBytes: 0 }
  const content = await manifestContentOf(copied, context)
  for await (const entry of content.entries) {
    await manifest.add(entry)
    if (entry.kind !== 'file') continue
    totals.fileCount += 1
    totals.restoredBytes += entry.sizeBytes
  }
  const backup = { ...describe(publishing), ...totals }
  const { digest, storedBytes } = await manifest.finish({
    backup,
    systemIdentifier: facts.systemIdentifier,
    hasDataChecksums: facts.hasDataChecksums,
    walSegmentSize: facts.walSegmentSize,
    serverVersion: formatPostgresVersion(facts.version),
    backupLabelFile: stopped.labelFile,
    tablespaceMap: stopped.tablespaceMap,
    tablespaces: copied.scan.tablespaces,
    owners: copied.scan.owners,
    packs: content.packs,
  })
  return { ...backup, storedBytes: backup.storedBytes + storedBytes, manifestDigest: digest }
}

type Described = Omit<BackupEntry, 'fileCount' | 'restoredBytes' | 'manifestDigest'>

function describe({ label, facts, started, stopped, copied }: Publishing): Described {
  return {
    label,
    type: copied.lineage === undefined ? 'full' : 'incr',
    ...(copied.lineage === undefined ? {} : { parent: copied.lineage.head.backup.label }),
    ...(copied.lineage?.isAudit === true ? { isAudited: true as const } : {}),
    revision: firstRevision,
    major: facts.version.major,
    timeline: started.timeline,
    startLsn: started.startLsn,
    stopLsn: stopped.stopLsn,
    startedAt: parseTargetTime(started.startTime),
    stoppedAt: parseTargetTime(stopped.stopTime),
    storedBytes: copied.copier.storedBytes,
    damagedPageCount: [...copied.damagedPages.values()].reduce((sum, blocks) => sum + blocks.length, 0),
  }
}

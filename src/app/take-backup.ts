import { statfs } from 'node:fs/promises'
import { readTablespacesNow } from '../backup/copy-cluster.ts'
import { prepareServer } from '../backup/prepare-server.ts'
import { runBackup, type BackupRequest } from '../backup/run-backup.ts'
import { scanDataDirectory } from '../backup/scan-data-directory.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import { formatPostgresVersion } from '../domain/postgres-version.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Environment } from '../platform/environment.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { parseRepositoryLocation } from '../storage/open-store.ts'
import { clusterConnection } from './cluster-connection.ts'
import { expireAfterBackup } from './expire-after-backup.ts'
import { keepRulesOf } from './expire-cluster.ts'
import { findDamagedFiles, type DamagedFile } from './find-damaged-files.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import {
  openCluster,
  type ClusterRepository,
  type ClusterSelection,
  type OpenedCluster,
} from './open-cluster.ts'

export interface TakeBackupRequest extends ClusterSelection {
  readonly variables: Environment
  /** Undefined: as the configuration says. */
  readonly workers: number | undefined
  /** Bytes read per second; undefined: as the configuration says. */
  readonly maxRate: number | undefined
}

export interface TakenBackup {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly backup: BackupEntry
  readonly damagedFiles: readonly DamagedFile[]
  readonly durationMs: number
}

/** Takes a full backup into the first of the cluster's repositories, or the one that is named. */
export async function takeBackup(request: TakeBackupRequest, context: RunContext): Promise<TakenBackup> {
  const startedAt = context.clock.monotonic()
  await using opened = await openCluster(request, context)
  const [target] = opened.repositories
  await readGuardedCatalogue(target, context)
  const backup = await runBackup(backupRequest(opened, request), target, context)
  await rememberCatalogue(target, context)
  const damagedFiles = await findDamagedFiles(target, backup, context)
  const durationMs = context.clock.monotonic() - startedAt
  await expireAfterBackup(keepRulesOf(request.configuration, opened.settings), target, context)
  return { ...namesOf(opened, target), backup, damagedFiles, durationMs }
}

/** What a backup would do now. */
export interface BackupPlan {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly dataDirectory: string
  readonly serverVersion: string
  readonly fileCount: number
  readonly totalBytes: number
  readonly tablespaceCount: number
  /** What the file system of the repository has left for us. */
  readonly freeBytes: number
}

/** Checks everything that a backup checks before it begins, and measures; changes nothing. */
export async function planBackup(request: TakeBackupRequest, context: RunContext): Promise<BackupPlan> {
  await using opened = await openCluster(request, context)
  const [target] = opened.repositories
  await readGuardedCatalogue(target, context)
  const { dataDirectory, links, conninfo } = backupRequest(opened, request)
  const facts = await prepareServer({ conninfo, dataDirectory }, target, context)
  const scan = await scanDataDirectory(
    {
      dataDirectory: facts.dataDirectory,
      tablespaceVersionFolder: `PG_${facts.version.major}_${facts.catalogVersion}`,
      readTablespaces: () => readTablespacesNow(conninfo, context),
      links,
    },
    context,
  )
  return {
    ...namesOf(opened, target),
    dataDirectory: facts.dataDirectory,
    serverVersion: formatPostgresVersion(facts.version),
    fileCount: scan.files.length,
    totalBytes: scan.totalBytes,
    tablespaceCount: scan.tablespaces.length,
    freeBytes: await freeBytesAt(target),
  }
}

function backupRequest(
  { settings }: OpenedCluster,
  { configuration, variables, workers, maxRate }: TakeBackupRequest,
): BackupRequest {
  const { backup } = configuration satisfies Configuration
  return {
    conninfo: clusterConnection(settings, variables),
    dataDirectory: settings.dataDirectory,
    links: settings.links,
    isCheckpointFast: backup.fastCheckpoint,
    workers: workers ?? backup.workers,
    compressionLevel: backup.compressionLevel,
    maxRate: maxRate ?? backup.maxRate,
    archiveTimeoutMs: backup.archiveTimeout,
  }
}

function namesOf(
  { settings }: OpenedCluster,
  { name, repository }: ClusterRepository,
): Pick<TakenBackup, 'cluster' | 'repo' | 'location'> {
  return { cluster: settings.name, repo: name, location: repository.store.location }
}

async function freeBytesAt({ repository }: ClusterRepository): Promise<number> {
  const { bavail, bsize } = await statfs(parseRepositoryLocation(repository.store.location).path)
  return bavail * bsize
}

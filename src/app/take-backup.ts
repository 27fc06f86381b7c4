import { statfs } from 'node:fs/promises'
import { readTablespacesNow } from '../backup/copy-cluster.ts'
import { findParent } from '../backup/find-parent.ts'
import { prepareServer } from '../backup/prepare-server.ts'
import { runBackup, type BackupRequest } from '../backup/run-backup.ts'
import { scanDataDirectory } from '../backup/scan-data-directory.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError, type OperationError } from '../domain/operation-error.ts'
import { formatPostgresVersion } from '../domain/postgres-version.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Environment } from '../platform/environment.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { localFolderOf } from '../storage/open-store.ts'
import { damagedLabels } from '../verify/verify-state.ts'
import { requirePhysical } from '../config/require-physical.ts'
import { selectCluster } from '../config/select-configured.ts'
import { openFollowers, type BackupCopy, type Followers } from './copy-backup.ts'
import { clusterConnection } from './cluster-connection.ts'
import { recallVerify } from './describe-cluster.ts'
import { expireAfterBackup } from './expire-after-backup.ts'
import { keepRulesOf } from './expire-cluster.ts'
import { findDamagedFiles, type DamagedFile } from './find-damaged-files.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import { keepEvidence } from './keep-evidence.ts'
import {
  chooseRepos,
  openCluster,
  type ClusterRepository,
  type ClusterSelection,
  type OpenedCluster,
} from './open-cluster.ts'
import { renewRoots } from './renew-roots.ts'

export interface TakeBackupRequest extends ClusterSelection {
  readonly variables: Environment
  /** Undefined: incremental when there is a backup to go on from, else full. */
  readonly type: 'full' | 'incr' | undefined
  readonly isAudit: boolean
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
  /** Why the incremental that was begun was given up for a full backup. */
  readonly auditFailure: OperationError | undefined
  /** The other repositories of the cluster. */
  readonly copies: readonly BackupCopy[]
}

/**
 * Takes a backup into the first of the cluster's repositories, or the one that is named, and copies it into the others. When an audit finds that the WAL
 * did not name a change, what it found is kept and a full backup is taken instead.
 */
export async function takeBackup(request: TakeBackupRequest, context: RunContext): Promise<TakenBackup> {
  const startedAt = context.clock.monotonic()
  await using opened = await openFirst(request, context)
  const [target] = opened.repositories
  await readGuardedCatalogue(target, context)
  await using followers = await openFollowers(request, target, context)
  const taken = { ...opened, target: followers.feedingFrom(target) }
  const { backup, auditFailure } = await discardOnFailure(followers, takeAudited(taken, request, context))
  await rememberCatalogue(target, context)
  await renewRoots(target, context)
  const damagedFiles = await findDamagedFiles(target, backup, context)
  const durationMs = context.clock.monotonic() - startedAt
  await expireAfterBackup(keepRulesOf(request.configuration, opened.settings), target, context)
  const copies = await followers.complete(backup, target, context)
  return { ...namesOf(opened, target), backup, damagedFiles, durationMs, auditFailure, copies }
}

/** The repository that a backup is taken into. Whether the others are there does not matter yet. */
function openFirst(request: TakeBackupRequest, context: RunContext): Promise<OpenedCluster> {
  const { configuration, clusterName, repoName } = request
  const settings = selectCluster(configuration, clusterName)
  requirePhysical(settings, {
    doing: 'taking a backup of',
    hint: 'Run "holdfast dump --all"; where a physical backup is possible after all, remove "logical-only" from the configuration and run "holdfast init" again.',
  })
  const [{ name }] = chooseRepos(configuration, settings, repoName)
  return openCluster({ configuration, clusterName, repoName: name }, context)
}

async function discardOnFailure<Result>(followers: Followers, work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    await followers.discard()
    throw error
  }
}

/** With the repository as the backup is given it. */
type OpenedTarget = OpenedCluster & { readonly target: ClusterRepository }

async function takeAudited(
  opened: OpenedTarget,
  request: TakeBackupRequest,
  context: RunContext,
): Promise<Pick<TakenBackup, 'backup' | 'auditFailure'>> {
  const { target } = opened
  const backupAsAsked = await backupRequest(opened, request, context)
  try {
    return { backup: await runBackup(backupAsAsked, target, context), auditFailure: undefined }
  } catch (error) {
    if (isOperationError(error, 'damaged') && request.type === undefined) {
      // Most likely of the backup that it went on from; what else is damaged stops the full one too.
      context.report({ kind: 'warning', message: `${error.message}; a full backup is taken instead` })
      const full = { ...backupAsAsked, type: 'full' } as const
      return { backup: await runBackup(full, target, context), auditFailure: undefined }
    }
    if (!isOperationError(error, 'audit-failed')) throw error
    const { name: cluster } = opened.settings
    const { stateDirectory } = request.configuration
    const kept = await keepEvidence(error, { cluster, stateDirectory }, context)
    const where = kept === undefined ? '' : `; what was found is in "${kept}"`
    context.report({ kind: 'warning', message: `${error.message}${where}; a full backup is taken instead` })
    const backup = await runBackup({ ...backupAsAsked, type: 'full', isAudit: false }, target, context)
    return { backup, auditFailure: error }
  }
}

/** What a backup would do now. */
export interface BackupPlan {
  /** What it would go on from; undefined for a full one. */
  readonly parent: BackupLabel | undefined
  readonly isAudit: boolean
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly dataDirectory: string
  readonly serverVersion: string
  readonly fileCount: number
  readonly totalBytes: number
  readonly tablespaceCount: number
  /** What the file system of the repository has left for us; undefined when it is in no file system of ours. */
  readonly freeBytes: number | undefined
}

/** Checks everything that a backup checks before it begins, and measures; changes nothing. */
export async function planBackup(request: TakeBackupRequest, context: RunContext): Promise<BackupPlan> {
  await using opened = await openFirst(request, context)
  const [target] = opened.repositories
  const { backups } = await readGuardedCatalogue(target, context)
  const asked = await backupRequest(opened, request, context)
  const { dataDirectory, links, conninfo } = asked
  const facts = await prepareServer({ conninfo, dataDirectory }, target, context)
  const parent = await findParent({ request: asked, facts, listed: backups }, target, context)
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
    parent: parent?.head.backup.label,
    isAudit: parent?.isAudit ?? false,
    dataDirectory: facts.dataDirectory,
    serverVersion: formatPostgresVersion(facts.version),
    fileCount: scan.files.length,
    totalBytes: scan.totalBytes,
    tablespaceCount: scan.tablespaces.length,
    freeBytes: await freeBytesAt(target),
  }
}

async function backupRequest(
  { settings, repositories: [target] }: OpenedCluster,
  { configuration, variables, workers, maxRate, type, isAudit }: TakeBackupRequest,
  context: RunContext,
): Promise<BackupRequest> {
  const { backup } = configuration satisfies Configuration
  return {
    type,
    isAudit,
    auditEvery: backup.auditEvery,
    damaged: damagedLabels(await recallVerify(target, context)),
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

async function freeBytesAt({ repository }: ClusterRepository): Promise<number | undefined> {
  const folder = localFolderOf(repository.store.location)
  if (folder === undefined) return undefined
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

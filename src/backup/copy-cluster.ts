import type { BackupLabel } from '../domain/backup-label.ts'
import { formatByteSize } from '../domain/byte-size.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { StartedBackup } from '../postgres/backup-session.ts'
import { connect } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import type { IndexedEntry } from './assemble-files.ts'
import { filesOverParent } from './manifest-entries-of.ts'
import { planCompaction } from './plan-compaction.ts'
import { readControlFile } from '../postgres/control-file.ts'
import { readTablespaces, type ServerFacts, type Tablespace } from '../postgres/server-facts.ts'
import { controlFileOf, refuseIdleDataDirectory } from './check-data-directory.ts'
import { FileCopier } from './copy-files.ts'
import type { AuditBounds } from './copy-protocol.ts'
import {
  measureIncremental,
  planIncrementalTasks,
  type Lineage,
  type ReadingPlan,
} from './plan-incremental.ts'
import { isControlFile, planCopyTasks, type CopyTask } from './copy-task.ts'
import { recheckPages } from './recheck-pages.ts'
import { refuseUnnamedChanges } from './refuse-unnamed-changes.ts'
import { refuseVanishedFiles, warnOfCutFiles } from './refuse-vanished-files.ts'
import type { BackupRequest, BackupTools } from './run-backup.ts'
import type { Scan } from './scan.ts'
import { scanDataDirectory } from './scan-data-directory.ts'

export interface CopyClusterRequest {
  readonly request: BackupRequest
  readonly facts: ServerFacts
  readonly label: BackupLabel
  readonly started: StartedBackup
  /** Undefined: all is read and stored. */
  readonly lineage: Lineage | undefined
}

/** The files of a cluster in packs of the repository; nothing lists them yet. Disposing it ends the workers. */
export interface CopiedCluster extends AsyncDisposable {
  readonly scan: Scan
  readonly copier: FileCopier
  readonly damagedPages: ReadonlyMap<number, readonly number[]>
  readonly lineage: Lineage | undefined
}

/**
 * Copies everything between start and stop of the backup, the control file last (R5, R6, R12); what is moved after it comes
 * out of the repository. Throws when a file that a
 * cluster cannot do without was gone, or anything could not be read.
 */
export async function copyCluster(
  copying: CopyClusterRequest,
  { repository, cluster }: BackupTools,
  context: RunContext,
): Promise<CopiedCluster> {
  const { request, facts, label, started, lineage } = copying
  const { dataDirectory, version, catalogVersion } = facts
  await refuseIdleDataDirectory({ dataDirectory, started }, context)
  const scan = await scanDataDirectory(
    {
      dataDirectory,
      tablespaceVersionFolder: `PG_${version.major}_${catalogVersion}`,
      readTablespaces: () => readTablespacesNow(request.conninfo, context),
      links: request.links,
    },
    context,
  )
  await using opened = new AsyncDisposableStack()
  const { workers, compressionLevel, maxRate } = request
  const audit = auditBoundsOf(copying)
  const options = { clusterId: cluster.id, label, workers, compressionLevel, maxRate, audit }
  const copier = opened.use(new FileCopier({ repository, scan, options }, context))
  await copyFiles({ copier, scan, hasChecksums: facts.hasDataChecksums, lineage }, context)
  const damagedPages = await recheckPages(
    {
      scan,
      suspects: copier.suspects,
      blockHashSeed: repository.keys.blockHashSeed,
      startLsn: started.startLsn,
    },
    context,
  )
  await refuseUnnamedChanges({ copier, scan, lineage, bounds: audit, label }, context)
  await refuseVanishedFiles(scan, copier.copied, context)
  warnOfCutFiles(scan, copier.copied, context)
  await copier.run([await controlFileTask(scan, facts, context)].values(), () => undefined)
  await compact({ scan, copier, damagedPages, lineage }, context)
  await copier.finish()
  const owned = opened.move()
  return { scan, copier, damagedPages, lineage, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** For a backup, after its start: one made before it, but after somebody asked, would be missed, and the WAL has it not. */
export async function readTablespacesNow(
  conninfo: Conninfo,
  context: RunContext,
): Promise<readonly Tablespace[]> {
  await using session = await connect(conninfo, context)
  return await readTablespaces(session)
}

interface Copying {
  readonly copier: FileCopier
  readonly scan: Scan
  readonly hasChecksums: boolean
  readonly lineage: Lineage | undefined
}

async function copyFiles(copying: Copying, context: RunContext): Promise<void> {
  const { copier, scan, hasChecksums, lineage } = copying
  if (lineage === undefined) {
    await copier.run(planCopyTasks(scan, hasChecksums), progressOf(scan.totalBytes, context))
    return
  }
  const plan = await measureIncremental({ scan, lineage }, context)
  context.report({ kind: 'note', message: describePlan(plan, scan) })
  const tasks = planIncrementalTasks({ scan, hasChecksums, lineage }, copier.copied, context)
  await copier.run(tasks, progressOf(plan.readBytes, context))
}

function describePlan({ readBytes, ...files }: ReadingPlan, scan: Scan): string {
  const { newFiles, comparedFiles, changedFiles, unchangedFiles } = files
  return (
    `reading ${formatByteSize(readBytes)} of ${formatByteSize(scan.totalBytes)}: ${unchangedFiles} files have not changed, ` +
    `of ${changedFiles} the WAL names the blocks, ${comparedFiles} are compared, ${newFiles} are new`
  )
}

/** Live data of the parent that moves is read from the repository: how much is decided by what was copied before. */
async function compact(
  copied: Omit<CopiedCluster, typeof Symbol.asyncDispose>,
  context: RunContext,
): Promise<void> {
  const { copier, lineage } = copied
  if (lineage === undefined) return
  const files = (): AsyncIterable<IndexedEntry> => filesOverParent(copied, context)
  const tasks = planCompaction({ lineage, files, storedBytes: copier.copied.storedRawBytes }, context)
  await copier.run(tasks, () => undefined)
}

function auditBoundsOf({ lineage, started, facts }: CopyClusterRequest): AuditBounds | undefined {
  if (lineage?.isAudit !== true) return undefined
  return {
    fromLsn: lineage.head.backup.startLsn,
    toLsn: started.startLsn,
    // With checksums hint bits are in the WAL, but not all: what a recovery made of it may have fewer than the original had.
    hasSilentHints: !facts.hasDataChecksums || started.timeline > 1,
  }
}

function progressOf(total: number, { report }: RunContext): (bytes: number) => void {
  let done = 0
  return (bytes) => {
    done += bytes
    report({ kind: 'progress', phase: 'copying', done, total, unit: 'bytes' })
  }
}

async function controlFileTask(scan: Scan, facts: ServerFacts, context: RunContext): Promise<CopyTask> {
  const file = scan.files.findIndex(isControlFile)
  const { bytes } = await readControlFile(controlFileOf(facts.dataDirectory), context)
  const found = scan.files[file]
  if (found?.sizeBytes !== bytes.length) {
    throw new OperationError(
      'file-unreadable',
      `backing up "${facts.dataDirectory}": its control file is missing or has an unexpected size`,
    )
  }
  const slice = {
    file,
    root: 0,
    path: found.path,
    isFollowed: false,
    readsToEnd: false,
    offset: 0,
    length: bytes.length,
    firstBlock: undefined,
    content: bytes,
  }
  return { slices: [slice], bytes: bytes.length }
}

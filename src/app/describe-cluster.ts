import type { ArchivePlace } from '../archive/archive-place.ts'
import { readArchiveInventory, type ArchiveInventory } from '../archive/archive-inventory.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import { reposOfCluster, selectCluster } from '../config/select-configured.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { ClusterRecord } from '../repository/cluster-record.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import { judgeCatalogue, reportDoubts, type JudgedCatalogue } from './guarded-catalogue.ts'
import { withoutExpiredGaps } from './expired-gaps.ts'
import type { DrillReport } from '../drill/drill-report.ts'
import { readNewestDrill } from '../drill/drill-report-store.ts'
import { readVerifyState } from '../verify/verify-state-store.ts'
import { damagedLabels, type VerifyState } from '../verify/verify-state.ts'
import { measureBackups, type BackupSizes } from './backup-sizes.ts'
import { findReaches } from './backup-reach.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'
import { findDamagedFiles, type DamagedFile } from './find-damaged-files.ts'
import { nowhereListed } from './pin-backup.ts'
import { findRecoveryReach, type RecoveryReach } from './recovery-window.ts'
import { describeWindow, type DescribedWindow } from './window-commits.ts'

/** What one repository holds of a cluster. */
export interface DescribedRepo extends RecoveryReach {
  readonly name: string
  readonly location: string
  readonly isEncrypted: boolean
  readonly cluster: ClusterRecord
  /** Oldest first. */
  readonly backups: readonly ListedBackup[]
  /** Oldest first. */
  readonly dumps: readonly ListedDump[]
  readonly inventory: ArchiveInventory
  /** Whether the catalogue may be an older copy of itself. */
  readonly age: Omit<JudgedCatalogue, 'catalogue'>
  /** What each backup takes; undefined when a manifest cannot be read. */
  readonly sizes: ReadonlyMap<BackupLabel, BackupSizes> | undefined
  /** What verify remembers; undefined when nothing was ever verified. */
  readonly integrity: VerifyState | undefined
  /** The last restore that was tried; undefined when none was. */
  readonly drill: DrillReport | undefined
  readonly windows: readonly DescribedWindow[]
}

export interface DescribedCluster {
  readonly name: string
  /** Whether there are to be dumps only. */
  readonly isLogicalOnly: boolean
  readonly repos: readonly DescribedRepo[]
  /** Repositories that could not be read, and why. */
  readonly failures: readonly { readonly name: string; readonly location: string; readonly error: unknown }[]
}

/**
 * Everything about a cluster in each of its repositories. One that cannot be read does not hide the others; when none
 * can, the first one's failure is thrown.
 */
export async function describeCluster(
  { configuration, clusterName, repoName }: ClusterSelection,
  context: RunContext,
): Promise<DescribedCluster> {
  const cluster = selectCluster(configuration, clusterName)
  const repos: DescribedRepo[] = []
  const failures: DescribedCluster['failures'][number][] = []
  for (const { name, location } of wantedRepos(configuration, { clusterName, repoName })) {
    try {
      const selection = { configuration, clusterName, repoName: name }
      await using opened = await openCluster(selection, context)
      repos.push(await describeRepo(opened.repositories[0], context))
    } catch (error) {
      context.signal.throwIfAborted()
      failures.push({ name, location, error })
    }
  }
  if (repos.length === 0 && failures[0] !== undefined) throw failures[0].error
  return { name: cluster.name, isLogicalOnly: cluster.logicalOnly, repos, failures }
}

/** One listed backup and what its manifest says of it. */
export interface DescribedBackup {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly backup: ListedBackup
  readonly head: ManifestHead
  /** Undefined when the manifest of some backup cannot be read. */
  readonly sizes: BackupSizes | undefined
  readonly damagedFiles: readonly DamagedFile[]
}

/** The backup with this label, out of the first repository that lists it. Throws `not-found`. */
export async function describeBackup(
  selection: ClusterSelection & { readonly label: string },
  context: RunContext,
): Promise<DescribedBackup> {
  await using opened = await openCluster(selection, context)
  for (const place of opened.repositories) {
    const { name, repository, cluster } = place
    const judged = await judgeCatalogue(place, context)
    reportDoubts(place, judged, context)
    const backup = judged.catalogue.backups.find(({ label }) => label === selection.label)
    if (backup === undefined) continue
    const head = await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
    const damagedFiles = await findDamagedFiles({ repository, cluster }, backup, context)
    return {
      cluster: cluster.name,
      repo: name,
      location: repository.store.location,
      backup,
      head,
      sizes: (await measureBackups(judged.catalogue.backups, place, context))?.get(backup.label),
      damagedFiles,
    }
  }
  throw nowhereListed(selection.label, opened.settings.name)
}

function wantedRepos(
  configuration: Configuration,
  { clusterName, repoName }: Omit<ClusterSelection, 'configuration'>,
): readonly { readonly name: string; readonly location: string }[] {
  const repos = reposOfCluster(configuration, selectCluster(configuration, clusterName))
  const wanted = repos.filter(({ name }) => repoName === undefined || name === repoName)
  // With no match, opening says which names there are.
  return wanted.length === 0 ? [{ name: repoName ?? '', location: '' }] : wanted
}

async function describeRepo(opened: ClusterRepository, context: RunContext): Promise<DescribedRepo> {
  const { name, repository, cluster } = opened
  const place = { repository, cluster }
  const { catalogue, ...age } = await judgeCatalogue(opened, context)
  const { backups, dumps } = catalogue
  const inventory = await readArchiveInventory(place, context)
  const integrity = await recallVerify(opened, context)
  const reach = await reachOfWhole({ backups, inventory }, { place, integrity }, context)
  const windows: DescribedWindow[] = []
  for (const window of reach.windows)
    windows.push(await describeWindow(window, { inventory, place }, context))
  return {
    name,
    location: repository.store.location,
    isEncrypted: repository.method !== 'none',
    cluster,
    backups,
    dumps,
    inventory: { ...inventory, timelines: withoutExpiredGaps(inventory.timelines, backups) },
    age,
    sizes: await measureBackups(backups, place, context),
    integrity,
    drill: await readNewestDrill(place, context),
    ...reach,
    windows,
  }
}

/** No window begins at a backup that verify calls lost; whether its WAL is there is told all the same. */
export async function reachOfWhole(
  listed: { readonly backups: readonly ListedBackup[]; readonly inventory: ArchiveInventory },
  { place, integrity }: { readonly place: ArchivePlace; readonly integrity: VerifyState | undefined },
  context: RunContext,
): Promise<RecoveryReach> {
  const lost = damagedLabels(integrity)
  const whole = listed.backups.filter(({ label }) => !lost.has(label))
  const { windows } = await findRecoveryReach({ ...listed, backups: whole }, place, context)
  const { walMissing, unknown } = findReaches(listed, place)
  return { windows, unrestorable: new Set([...walMissing, ...unknown.keys()]) }
}

/** A memory that cannot be used must not hide the backups. */
export async function recallVerify(
  { repository, cluster }: ClusterRepository,
  context: RunContext,
): Promise<VerifyState | undefined> {
  try {
    return await readVerifyState(repository, cluster.id, context)
  } catch (error) {
    if (!isOperationError(error, 'format-newer')) throw error
    context.report({ kind: 'warning', message: error.message })
    return undefined
  }
}

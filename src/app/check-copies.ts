import { stat } from 'node:fs/promises'
import { isAboutObject } from '../archive/object-trouble.ts'
import type { RepoConfiguration } from '../config/select-configured.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readNewestDrill } from '../drill/drill-report-store.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import { localFolderOf } from '../storage/open-store.ts'
import type { CheckItem } from './check-item.ts'
import { judgeCopies, judgeDumpCopies, type CopyPlace, type DumpPlace } from './judge-copies.ts'
import type { ClusterRepository } from './open-cluster.ts'

interface OpenedRepo {
  readonly opened: ClusterRepository
  readonly settings: RepoConfiguration
}

/** How many copies of the newest backup there are, and where. `dataDirectory`: undefined when it is not known. */
export async function checkCopies(
  repos: readonly OpenedRepo[],
  dataDirectory: string | undefined,
  context: RunContext,
): Promise<readonly CheckItem[]> {
  const places: CopyPlace[] = []
  for (const repo of repos) {
    const { repository, cluster } = repo.opened
    const { backups } = await readCatalogue(repository, cluster.id, context)
    const isDrilledThere = await isDrilled(repo.opened, context)
    places.push({ ...(await lookAt(repo, backups)), isDrilled: isDrilledThere })
  }
  return judgeCopies(places, await clusterMedium(dataDirectory))
}

/** The same of the newest dump. `serverMedium`: undefined when the server may be on this machine. */
export async function checkDumpCopies(
  repos: readonly OpenedRepo[],
  serverMedium: string | undefined,
  context: RunContext,
): Promise<readonly CheckItem[]> {
  const places: DumpPlace[] = []
  for (const repo of repos) {
    const { repository, cluster } = repo.opened
    const { dumps } = await readCatalogue(repository, cluster.id, context)
    places.push(await lookAt(repo, dumps))
  }
  return judgeDumpCopies(places, serverMedium)
}

async function lookAt(
  { opened, settings }: OpenedRepo,
  listed: readonly { readonly label: BackupLabel }[],
): Promise<DumpPlace> {
  const { name, repository } = opened
  const folder = localFolderOf(repository.store.location)
  return {
    name,
    labels: listed
      .map(({ label }) => label)
      .toSorted()
      .toReversed(),
    medium: folder === undefined ? repository.store.location : await fileSystemOf(folder),
    isOffSite: settings.offSite ?? folder === undefined,
    isLocked: repository.store.retention !== undefined,
  }
}

/** A report that cannot be read proves nothing, and is told by the check of drills. */
async function isDrilled({ repository, cluster }: ClusterRepository, context: RunContext): Promise<boolean> {
  try {
    return (await readNewestDrill({ repository, cluster }, context))?.outcome === 'passed'
  } catch (error) {
    if (isAboutObject(error)) return false
    throw error
  }
}

const fileSystemOf = async (path: string): Promise<string> => `file system ${(await stat(path)).dev}`

/** Undefined when it is not on this machine. */
async function clusterMedium(dataDirectory: string | undefined): Promise<string | undefined> {
  if (dataDirectory === undefined) return undefined
  try {
    return await fileSystemOf(dataDirectory)
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT', 'EACCES', 'ENOTDIR')) return undefined
    throw error
  }
}

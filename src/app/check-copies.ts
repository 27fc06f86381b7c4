import { stat } from 'node:fs/promises'
import { isAboutObject } from '../archive/object-trouble.ts'
import type { RepoConfiguration } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readNewestDrill } from '../drill/drill-report-store.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import { localFolderOf } from '../storage/open-store.ts'
import type { CheckItem } from './check-item.ts'
import { judgeCopies, type CopyPlace } from './judge-copies.ts'
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
  for (const repo of repos) places.push(await lookAt(repo, context))
  return judgeCopies(places, await clusterMedium(dataDirectory))
}

async function lookAt({ opened, settings }: OpenedRepo, context: RunContext): Promise<CopyPlace> {
  const { name, repository, cluster } = opened
  const { backups } = await readCatalogue(repository, cluster.id, context)
  const folder = localFolderOf(repository.store.location)
  return {
    name,
    labels: backups
      .map(({ label }) => label)
      .toSorted()
      .toReversed(),
    medium: folder === undefined ? repository.store.location : await fileSystemOf(folder),
    isOffSite: settings.offSite ?? folder === undefined,
    isLocked: repository.store.retention !== undefined,
    isDrilled: await isDrilled(opened, context),
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

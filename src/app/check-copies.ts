import { stat } from 'node:fs/promises'
import type { RepoConfiguration } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readNewestDrill } from '../drill/drill-report-store.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import { localFolderOf } from '../storage/open-store.ts'
import type { CheckItem } from './check-item.ts'
import { judgeCopies, type CopyPlace } from './judge-copies.ts'
import type { ClusterRepository } from './open-cluster.ts'

interface OpenedRepo {
  readonly opened: ClusterRepository
  readonly settings: RepoConfiguration
}

/** How many copies of the newest backup there are, and where. `facts`: undefined when the server could not be asked. */
export async function checkCopies(
  repos: readonly OpenedRepo[],
  facts: ServerFacts | undefined,
  context: RunContext,
): Promise<readonly CheckItem[]> {
  const places: CopyPlace[] = []
  for (const repo of repos) places.push(await lookAt(repo, context))
  return judgeCopies(places, facts === undefined ? undefined : await fileSystemOf(facts.dataDirectory))
}

async function lookAt({ opened, settings }: OpenedRepo, context: RunContext): Promise<CopyPlace> {
  const { name, repository, cluster } = opened
  const { backups } = await readCatalogue(repository, cluster.id, context)
  const folder = localFolderOf(repository.store.location)
  const drill = await readNewestDrill({ repository, cluster }, context)
  return {
    name,
    labels: backups
      .map(({ label }) => label)
      .toSorted()
      .toReversed(),
    medium: folder === undefined ? repository.store.location : await fileSystemOf(folder),
    isOffSite: settings.offSite ?? folder === undefined,
    isDrilled: drill?.outcome === 'passed',
  }
}

const fileSystemOf = async (path: string): Promise<string> => `file system ${(await stat(path)).dev}`

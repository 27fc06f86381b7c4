import { selectCluster, type RepoConfiguration } from '../config/select-configured.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { copyListedDump } from '../transfer/copy-dumps.ts'
import { otherRepos, type BackupCopy } from './copy-backup.ts'
import { expireAfterDump } from './expire-after-dump.ts'
import { keepRulesOf } from './expire-cluster.ts'
import { readGuardedCatalogue, rememberCatalogue } from './guarded-catalogue.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'
import { renewRoots } from './renew-roots.ts'

interface DumpCopying extends ClusterSelection {
  readonly label: BackupLabel
  /** The repository that lists the dump. */
  readonly from: ClusterRepository
}

/**
 * Copies a dump into the other repositories of its cluster, or none when the repository was named or the configuration wants none.
 * There, too, older ones expire when the rules want it. Says of each how that went: the dump is complete, and one that is full or gone does not fail it.
 */
export async function copyDumpToOthers(
  copying: DumpCopying,
  context: RunContext,
): Promise<readonly BackupCopy[]> {
  const copies: BackupCopy[] = []
  for (const repo of otherRepos(copying, copying.from)) copies.push(await copyTo(repo, copying, context))
  return copies
}

async function copyTo(
  { name }: RepoConfiguration,
  { configuration, clusterName, label, from }: DumpCopying,
  context: RunContext,
): Promise<BackupCopy> {
  let location: string | undefined
  try {
    await using opened = await openCluster({ configuration, clusterName, repoName: name }, context)
    const [to] = opened.repositories
    location = to.repository.store.location
    await readGuardedCatalogue(to, context)
    const storedBytes = await copyListedDump(label, { from, to }, context)
    await rememberCatalogue(to, context)
    await renewRoots(to, context)
    const rules = keepRulesOf(configuration, selectCluster(configuration, clusterName)).dumps
    await expireAfterDump(rules, to, context)
    return { repo: name, location, storedBytes, failure: undefined }
  } catch (failure) {
    context.signal.throwIfAborted()
    return { repo: name, location, storedBytes: 0, failure }
  }
}

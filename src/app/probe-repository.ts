import type { RepoConfiguration } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { openStore, parseRepositoryLocation } from '../storage/open-store.ts'
import { probeStore, type ProbeReport } from '../storage/probe-store.ts'
import { storeOptions } from './store-options.ts'

export interface ProbedRepository extends ProbeReport {
  readonly repo: string
  readonly location: string
}

/** Tries out the store of a repository. No key is needed: what is in the repository is not looked at. */
export async function probeRepository(
  repo: RepoConfiguration,
  context: RunContext,
): Promise<ProbedRepository> {
  const location = parseRepositoryLocation(repo.location)
  await using store = await openStore(location, await storeOptions(repo), context)
  return { repo: repo.name, location: store.location, ...(await probeStore(store, context)) }
}

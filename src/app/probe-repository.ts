import type { RepoConfiguration } from '../config/select-configured.ts'
import type { RunContext } from '../domain/run-context.ts'
import { openStore, parseRepositoryLocation } from '../storage/open-store.ts'
import type { StoreProtection } from '../storage/object-store.ts'
import { probeStore, type ProbeReport } from '../storage/probe-store.ts'
import { storeOptions } from './store-options.ts'

export interface ProbedRepository extends ProbeReport {
  readonly repo: string
  readonly location: string
  /** Undefined: the kind of store has none. */
  readonly protection: StoreProtection | undefined
}

/** Tries out the store of a repository. No key is needed: what is in the repository is not looked at. */
export async function probeRepository(
  repo: RepoConfiguration,
  context: RunContext,
): Promise<ProbedRepository> {
  const location = parseRepositoryLocation(repo.location)
  await using store = await openStore(location, await storeOptions(repo), context)
  const probed = await probeStore(store, context)
  const protection = await store.protection?.(context)
  const lock = store.retention && { name: 'locks what it is told to lock', fault: lockFault(protection) }
  const promises = lock === undefined ? probed.promises : [...probed.promises, lock]
  return { repo: repo.name, location: store.location, protection, ...probed, promises }
}

/** Not being allowed to ask is no fault: the first object that is stored tells. */
const lockFault = (protection: StoreProtection | undefined): string | undefined =>
  protection?.canLock === false ? 'the bucket was made without object lock' : undefined

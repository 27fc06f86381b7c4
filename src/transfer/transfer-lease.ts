import { hostname } from 'node:os'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { acquireLease, type Lease } from '../repository/lease.ts'
import type { TransferPlaces } from './transfer-places.ts'

/**
 * Holds the scope of those who list backups, or dumps, in the repository that is copied to, so that none is taken into it and
 * no sweep deletes anything. Throws `busy` when somebody holds it, and while a sweep runs.
 */
export async function acquireListingLease(
  places: TransferPlaces,
  scope: string,
  context: RunContext,
): Promise<Lease> {
  const { repository } = places.to
  await using acquired = new AsyncDisposableStack()
  const lease = acquired.use(await acquireLease(repository, leaseRequest(places, scope), context))
  // A sweep that began before may be deleting what we are about to find and use. Whoever begins later sees us.
  const passed = await acquireLease(repository, leaseRequest(places, 'sweep'), context)
  await passed[Symbol.asyncDispose]()
  acquired.move()
  return lease
}

function leaseRequest({ from, to }: TransferPlaces, scope: string): Parameters<typeof acquireLease>[1] {
  const purpose = `copy of cluster "${from.cluster.name}" from "${from.repository.store.location}" by ${hostname()}`
  return { clusterId: to.cluster.id, scope, purpose, holder: readProcessIdentity() }
}

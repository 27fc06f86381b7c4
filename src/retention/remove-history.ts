import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import type { Lease } from '../repository/lease.ts'
import { readLeases } from '../repository/lease-beat.ts'
import { catalogKey, catalogPrefix, leasePrefix } from '../repository/object-keys.ts'
import { tidyAway } from '../repository/tidy-away.ts'

/** So many entries of the catalogue stay, and all of so many days: a host that was away sees that they lead to the newest. */
const keptEntries = 1000
const keptForMs = 90 * 24 * 60 * 60 * 1000
/** Each takes a request of its own; what is beyond waits for the next sweep. */
const mostEntriesAtOnce = 500
const entryName = /^\d{10}$/

/** Removes what only grows: old entries of the catalogue, oldest first, and the leases of restores that have ended. */
export async function removeHistory(lease: Lease, place: ArchivePlace, context: RunContext): Promise<void> {
  const { repository } = place
  const leases = await endedRestores(place, context)
  const entries = (await oldEntries(place, context)).slice(0, mostEntriesAtOnce)
  if (leases.length + entries.length === 0) return
  await lease.confirm()
  await tidyAway(repository, leases, context)
  // One by one, and none behind one that the store keeps: the numbers that are left must have no holes.
  for (const key of entries) if ((await tidyAway(repository, [key], context)).length > 0) return
}

async function oldEntries(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<readonly string[]> {
  const prefix = catalogPrefix(cluster.id)
  const entries: { number: number; storedAtMs: number }[] = []
  for await (const { key, modifiedAtMs } of repository.store.list(prefix, context)) {
    const name = key.slice(prefix.length)
    if (entryName.test(name)) entries.push({ number: Number(name), storedAtMs: modifiedAtMs })
  }
  const newest = entries.at(-1)
  if (newest === undefined) return []
  // Oldest first and without holes: the first that is to stay keeps all behind it.
  const isOld = ({ number, storedAtMs }: (typeof entries)[number]): boolean =>
    number <= newest.number - keptEntries && storedAtMs < newest.storedAtMs - keptForMs
  const firstKept = entries.findIndex((entry) => !isOld(entry))
  return entries.slice(0, firstKept).map(({ number }) => catalogKey(cluster.id, number))
}

/** Each restore has a scope of its own, used once, so nobody can claim it again when its beats are gone. */
async function endedRestores(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<readonly string[]> {
  const self = readProcessIdentity()
  const leases = await readLeases(repository, { clusterId: cluster.id, self }, context)
  const keys: string[] = []
  for (const { scope, isHeld } of leases) {
    if (isHeld || !scope.startsWith('restore-')) continue
    for await (const { key } of repository.store.list(leasePrefix(cluster.id, scope), context)) keys.push(key)
  }
  return keys
}

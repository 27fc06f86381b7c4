import { hostname } from 'node:os'
import { nextLabel, type BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { changeCatalogue, labelsOf, readCatalogue } from './catalogue.ts'
import type { DumpEntry } from './dump-entry.ts'
import type { DumpPlace } from './dump-reader.ts'
import { acquireLease, type Lease } from './lease.ts'
import { dumpPrefix } from './object-keys.ts'

/** Of the lease that a dump holds from before it chooses its label until it is listed. A sweep deletes nothing meanwhile. */
export const dumpScope = 'dump'

const mostAttempts = 100

/** One dump of a cluster at a time in a repository; backups may run beside it. Throws `busy`. */
export function acquireDumpLease({ repository, cluster }: DumpPlace, context: RunContext): Promise<Lease> {
  const purpose = `dump of cluster "${cluster.name}" by ${hostname()}`
  const holder = readProcessIdentity()
  return acquireLease(repository, { clusterId: cluster.id, scope: dumpScope, purpose, holder }, context)
}

/** A label for a dump that begins now: later than all that are listed, and than what a dump that was killed left behind. */
export async function chooseDumpLabel(
  { repository, cluster }: DumpPlace,
  context: RunContext,
): Promise<BackupLabel> {
  const taken = labelsOf(await readCatalogue(repository, cluster.id, context))
  for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
    const label = nextLabel(context.clock.now(), 'dump', taken)
    const objects = repository.store.list(dumpPrefix(cluster.id, label), context)[Symbol.asyncIterator]()
    const { done } = await objects.next()
    await objects.return?.()
    if (done === true) return label
    taken.add(label)
  }
  throw new OperationError(
    'busy',
    `choosing a label for a dump of cluster "${cluster.name}": a hundred are taken`,
  )
}

/** Lists a dump that is stored: from now on there is one. Throws `lease-lost` when it may not be listed any more. */
export async function publishDump(
  { place, lease, dump }: { readonly place: DumpPlace; readonly lease: Lease; readonly dump: DumpEntry },
  context: RunContext,
): Promise<void> {
  const { repository, cluster } = place
  const change = { kind: 'publish-dump', dump } as const
  const confirm = (): Promise<void> => lease.confirm()
  await changeCatalogue(repository, { clusterId: cluster.id, change, confirm }, context)
}

import { hostname } from 'node:os'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { randomBytes } from '../platform/random.ts'
import { acquireLease } from '../repository/lease.ts'

/** A context that ends with the lease, and the lease. */
export interface HeldRestore extends AsyncDisposable {
  readonly context: RunContext
}

/**
 * Keeps the sweep from deleting anything while a restore runs. To be held before the catalogue is read: what a restore
 * has planned with is then there until it has ended. Whoever may only read the repository restores without: then the sweep's grace is
 * all that protects it, which is said.
 */
export async function holdRestoreLease(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<HeldRestore> {
  const request = {
    clusterId: cluster.id,
    scope: `restore-${Buffer.from(randomBytes(8)).toString('hex')}`,
    purpose: `restore of cluster "${cluster.name}" on ${hostname()}`,
    holder: readProcessIdentity(),
  }
  try {
    const lease = await acquireLease(repository, request, context)
    const signal = AbortSignal.any([context.signal, lease.lost])
    return { context: { ...context, signal }, [Symbol.asyncDispose]: () => lease[Symbol.asyncDispose]() }
  } catch (error) {
    context.signal.throwIfAborted()
    const why = error instanceof Error ? error.message : String(error)
    context.report({
      kind: 'warning',
      message: `the repository does not know of this restore: ${why}`,
      hint: 'Make sure that nothing is expired from it for the next day, or until the restore has ended.',
    })
    return { context, [Symbol.asyncDispose]: () => Promise.resolve() }
  }
}

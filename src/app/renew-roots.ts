import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { clusterRecordPrefix, keySlotPrefix, repositoryHeaderKey } from '../repository/object-keys.ts'
import type { ClusterRepository } from './open-cluster.ts'

/**
 * Locks anew what every backup needs and no backup stores: the header, the key slots, the records of clusters. Their
 * locks would otherwise end while newer data still has one, and without the key slots all of it is lost. Failing is a
 * warning: the backup itself is complete.
 */
export async function renewRoots(
  { name, repository: { store } }: ClusterRepository,
  context: RunContext,
): Promise<void> {
  if (store.retention === undefined || store.renewRetention === undefined) return
  try {
    const roots = [repositoryHeaderKey]
    for (const prefix of [keySlotPrefix, clusterRecordPrefix])
      for await (const { key } of store.list(prefix, context)) roots.push(key)
    await store.renewRetention(roots, context)
  } catch (error) {
    context.signal.throwIfAborted()
    if (!isOperationError(error)) throw error
    context.report({
      kind: 'warning',
      message: `repo "${name}": what opens the repository could not be locked anew: ${error.message}`,
      hint: 'Allow s3:PutObjectRetention (docs/s3.md), or wait where retention-days was lowered, for no lock is shortened. When these locks end, whoever may delete versions can make all backups useless.',
    })
  }
}

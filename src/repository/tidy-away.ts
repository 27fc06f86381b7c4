import type { KeptObject, StoreCallOptions } from '../storage/object-store.ts'
import type { Repository } from './open-repository.ts'

/**
 * Deletes objects that have been replaced, or that nobody will ever read. What the store does not let go stays: it takes
 * space and does no harm, so whoever may only add can still do everything else. Gives those that are still there.
 */
export async function tidyAway(
  { store }: Pick<Repository, 'store'>,
  keys: readonly string[],
  { signal }: StoreCallOptions,
): Promise<readonly KeptObject[]> {
  const kept: KeptObject[] = []
  await store.delete(keys, {
    signal,
    onKept: (object) => {
      if (object.reason !== 'version') kept.push(object)
    },
  })
  return kept
}

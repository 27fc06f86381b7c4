import { eachInFlight } from '../platform/in-flight.ts'
import type { DeleteOptions, KeptReason } from './object-store.ts'

/** Why an object is still there. */
export interface StillThere {
  readonly reason: Exclude<KeptReason, 'version'>
  /** The store's name for it. */
  readonly name: string
  /** What the store answered. */
  readonly error: unknown
}

interface Deleting<Kept extends StillThere> extends DeleteOptions {
  /** How many deletions are under way at once at most. */
  readonly most: number
  readonly deleteOne: (key: string, signal: AbortSignal) => Promise<'gone' | Kept>
  /** The failure of the whole call, when nobody wants to be told what is still there. */
  readonly faultOf: (first: Kept & { readonly key: string }, count: number) => Error
}

/**
 * Deletes each object once, with a request of its own, for stores that have none for many: what one of them keeps does not
 * keep the others. Any other failure ends the call, and what is under way.
 */
export async function deleteEach<Kept extends StillThere>(
  keys: readonly string[],
  { most, deleteOne, faultOf, signal, onKept }: Deleting<Kept>,
): Promise<void> {
  const distinct = [...new Set(keys)]
  const kept: (Kept & { readonly key: string })[] = []
  const failed = new AbortController()
  const both = AbortSignal.any([failed.signal, ...(signal === undefined ? [] : [signal])])
  await eachInFlight(distinct.length, most, async (index) => {
    const key = distinct[index] ?? ''
    try {
      const outcome = await deleteOne(key, both)
      if (outcome === 'gone') return
      if (onKept === undefined) kept.push({ ...outcome, key })
      else onKept({ key, reason: outcome.reason })
    } catch (error) {
      failed.abort(error)
      throw error
    }
  })
  const [first] = kept
  if (first !== undefined) throw faultOf(first, kept.length)
}

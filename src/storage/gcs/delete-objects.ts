import { OperationError } from '../../domain/operation-error.ts'
import { eachInFlight } from '../in-flight.ts'
import type { Retained } from './gcs-requests.ts'

interface Deleting {
  readonly location: string
  /** How many deletions are begun at once. */
  readonly most: number
  readonly deleteOne: (key: string, signal: AbortSignal) => Promise<'gone' | Retained>
  readonly signal: AbortSignal | undefined
}

/**
 * Deletes one object after the other, several at once. What the store retains is left, and told in the end; any other
 * failure ends it, and what is under way.
 */
export async function deleteObjects(keys: readonly string[], deleting: Deleting): Promise<void> {
  const retained: (Retained & { readonly key: string })[] = []
  const failed = new AbortController()
  const signal = AbortSignal.any([failed.signal, ...(deleting.signal === undefined ? [] : [deleting.signal])])
  await eachInFlight(keys.length, deleting.most, async (index) => {
    const key = keys[index] ?? ''
    try {
      const outcome = await deleting.deleteOne(key, signal)
      if (outcome !== 'gone') retained.push({ ...outcome, key })
    } catch (error) {
      failed.abort(error)
      throw error
    }
  })
  const [first] = retained
  if (first !== undefined) throw keptFault(first, retained.length, deleting)
}

function keptFault(
  { key, reason, until }: Retained & { readonly key: string },
  count: number,
  { location }: Deleting,
): OperationError {
  const end = until === undefined ? '' : ` until ${until}`
  const isHeld = reason === 'objectUnderActiveHold'
  return new OperationError(
    'store-failed',
    `deleting objects of "${location}": ${count} of the objects are still there, the first is "${key}", which is ${isHeld ? 'held' : `retained${end}`} (${reason})`,
    {
      hint: isHeld
        ? 'Release the hold of the object, or leave it where it is.'
        : 'Wait until the retention of the objects ends (docs/gcs.md); until then deleting them fails again.',
    },
  )
}

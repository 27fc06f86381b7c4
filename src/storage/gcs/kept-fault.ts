import { OperationError } from '../../domain/operation-error.ts'
import type { KeptByStore } from './gcs-requests.ts'

/** A deletion after which `count` objects are still there. `first` is one that the store retains or holds. */
export function keptFault(
  location: string,
  { key, name, until }: KeptByStore & { readonly key: string },
  count: number,
): OperationError {
  const end = until === undefined ? '' : ` until ${until}`
  const isHeld = name === 'objectUnderActiveHold'
  return new OperationError(
    'store-failed',
    `deleting objects of "${location}": ${count} of the objects are still there, the first is "${key}", which is ${isHeld ? 'held' : `retained${end}`} (${name})`,
    {
      hint: isHeld
        ? 'Release the hold of the object, or leave it where it is.'
        : 'Wait until the retention of the objects ends (docs/gcs.md); until then deleting them fails again.',
    },
  )
}

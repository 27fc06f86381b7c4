import { isOperationError, type OperationError, type OperationErrorCode } from '../domain/operation-error.ts'

/**
 * Whether a failure says something of the one object that was read, so that others may be read all the same: headers are
 * overwritten, sectors fail, access to one file is taken away. A store that does not answer is none.
 */
export function isAboutObject(error: unknown): error is OperationError {
  if (!isOperationError(error)) return false
  if (error.code !== 'store-failed') return objectTroubles.has(error.code)
  return (
    error.cause === undefined ||
    (error.cause instanceof Error && 'code' in error.cause && fileTroubles.has(error.cause.code))
  )
}

const objectTroubles: ReadonlySet<OperationErrorCode> = new Set([
  'damaged',
  'target-ambiguous',
  'format-newer',
  'key-missing',
])
const fileTroubles: ReadonlySet<unknown> = new Set(['EIO', 'EACCES', 'EPERM'])

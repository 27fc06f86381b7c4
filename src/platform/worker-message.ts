import { OperationError, operationErrors, type OperationErrorCode } from '../domain/operation-error.ts'

/** What a worker answers to a request. */
export type WorkerAnswer<Response> =
  | { readonly kind: 'done'; readonly response: Response }
  | { readonly kind: 'failed'; readonly failure: CarriedError }

/**
 * An error as it crosses between threads. Structured clone would make an `OperationError` an `Error` without code and
 * hint.
 */
export interface CarriedError {
  readonly code: string | undefined
  readonly name: string
  readonly message: string
  readonly hint: string | undefined
  readonly stack: string | undefined
  readonly cause: CarriedError | undefined
}

/** Causes beyond this depth are left out. */
const deepestCause = 8

export function carryError(thrown: unknown, depth = 0): CarriedError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  return {
    code: 'code' in error && typeof error.code === 'string' ? error.code : undefined,
    name: error.name,
    message: error.message,
    hint: error instanceof OperationError ? error.hint : undefined,
    stack: error.stack,
    cause:
      error.cause === undefined || depth === deepestCause ? undefined : carryError(error.cause, depth + 1),
  }
}

/** The error again: an `OperationError` with its code and hint, or an `Error` with its name, message, code and stack. */
export function reviveError(carried: CarriedError): Error {
  const { code, message, hint, name, stack } = carried
  const cause = carried.cause && { cause: reviveError(carried.cause) }
  const error =
    name === 'OperationError' && isOperationErrorCode(code)
      ? new OperationError(code, message, { ...cause, ...(hint !== undefined && { hint }) })
      : Object.assign(new Error(message, cause), { name }, code !== undefined && { code })
  if (stack !== undefined) error.stack = stack
  return error
}

function isOperationErrorCode(code: string | undefined): code is OperationErrorCode {
  return code !== undefined && Object.hasOwn(operationErrors, code)
}

import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { describeSystemError, isSystemError } from '../platform/durable-file.ts'

/** One thing that was looked at, and what was found. */
export interface CheckItem {
  readonly name: string
  /** `info`: nothing to judge. `skipped`: it depends on something that failed. */
  readonly state: 'ok' | 'warning' | 'failed' | 'skipped' | 'info'
  readonly message: string
  readonly hint?: string | undefined
}

/** Gives what `check` finds; when it fails, an item that says why. Only an abort ends the whole check. */
export async function checkItem(
  name: string,
  check: () => Promise<Omit<CheckItem, 'name'>>,
  { signal }: Pick<RunContext, 'signal'>,
): Promise<CheckItem> {
  try {
    return { name, ...(await check()) }
  } catch (error) {
    signal.throwIfAborted()
    return failedItem(name, error)
  }
}

/** Several items at once; when looking fails as a whole, the one item `name` says why. */
export async function checkItems(
  name: string,
  check: () => Promise<readonly CheckItem[]>,
  { signal }: Pick<RunContext, 'signal'>,
): Promise<readonly CheckItem[]> {
  try {
    return await check()
  } catch (error) {
    signal.throwIfAborted()
    return [failedItem(name, error)]
  }
}

/** An item for something that failed. Mistakes in our own code are not findings: they are thrown. */
export function failedItem(name: string, error: unknown): CheckItem {
  if (isOperationError(error)) return { name, state: 'failed', message: error.message, hint: error.hint }
  if (isSystemError(error)) return { name, state: 'failed', message: describeSystemError(error) }
  throw error
}

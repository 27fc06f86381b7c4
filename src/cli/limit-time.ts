import type { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'

/** The same on behalf of whom, but no longer than this: then its signal is aborted with `failure`. */
export function limitTime(context: RunContext, timeoutMs: number, failure: OperationError): RunContext {
  const timeout = new AbortController()
  setTimeout(() => timeout.abort(failure), timeoutMs).unref()
  return { ...context, signal: AbortSignal.any([context.signal, timeout.signal]) }
}

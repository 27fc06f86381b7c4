import { orAbandon } from '../platform/or-abandon.ts'

/**
 * Closes, when it is disposed of, what a command that PostgreSQL waits for has used. That takes a second at most and never
 * fails: the answer is known by then, and what hangs goes with the process.
 */
export function closeInTime(resource: AsyncDisposable): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      try {
        await orAbandon(Promise.resolve(resource[Symbol.asyncDispose]()), AbortSignal.abort())
      } catch {
        // Everything durable was made so before; the system closes the rest.
      }
    },
  }
}

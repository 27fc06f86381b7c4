import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

interface WaitOptions {
  /** Default: 60 000. Generous, because machines may be busy; nothing waits longer than it must. */
  readonly timeoutMs?: number
  /** Pause between two probes. Default: 20. */
  readonly intervalMs?: number
}

/**
 * Asks `probe` until it gives something other than `undefined` or `false`, and returns that. A probe that throws counts as
 * "not yet"; what it threw last is the cause of the failure when the time is up.
 */
export async function waitUntil<T>(
  description: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  { timeoutMs = 60_000, intervalMs = 20 }: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  let lastError: unknown
  do {
    try {
      const answer = await probe()
      if (answer !== undefined && answer !== false) return answer
      lastError = undefined
    } catch (error) {
      lastError = error
    }
    await sleep(intervalMs)
  } while (performance.now() < deadline)
  const failure = new assert.AssertionError({ message: `not within ${timeoutMs} ms: ${description}` })
  failure.cause = lastError
  throw failure
}

import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../domain/run-context.ts'

/** The machine's clock. The only place that asks it. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, { signal })
    } catch (error) {
      signal.throwIfAborted()
      throw error
    }
  },
}

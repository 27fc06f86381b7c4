import type { Clock } from '../domain/run-context.ts'
import { orAbandon } from './or-abandon.ts'

interface Patience {
  /** How many tasks must succeed. */
  readonly enough: number
  /** How long the others are waited for after that. */
  readonly graceMs: number
  /** What those fail with that are not waited for any longer: the reason that their signal is aborted with. */
  readonly late: Error
}

/**
 * Begins all tasks at once, and gives what each came to, in their order: when all have ended, or when enough have succeeded
 * and the others have had their time. What hangs then in a call that nothing interrupts is left to itself (`orAbandon`).
 */
export async function settleEnough<T>(
  tasks: readonly ((signal: AbortSignal) => Promise<T>)[],
  { enough, graceMs, late }: Patience,
  { clock, signal }: { readonly clock: Pick<Clock, 'sleep'>; readonly signal: AbortSignal },
): Promise<readonly PromiseSettledResult<T>[]> {
  const ended = new AbortController()
  const overdue = new AbortController()
  const limited = AbortSignal.any([signal, overdue.signal])
  let missing = enough
  const giveTheOthersTheirTime = (): void => {
    clock.sleep(graceMs, ended.signal).then(
      () => overdue.abort(late),
      () => undefined, // they have all ended
    )
  }
  const begin = async (task: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const result = await orAbandon(task(limited), limited)
    missing -= 1
    if (missing === 0 && enough < tasks.length) giveTheOthersTheirTime()
    return result
  }
  try {
    return await Promise.allSettled(tasks.map(begin))
  } finally {
    ended.abort()
  }
}

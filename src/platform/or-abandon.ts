const graceMs = 1000

/**
 * What `work` comes to. When the signal was aborted and the work has still not ended a second later, because it hangs in a
 * call that nothing interrupts, it is left to itself and this rejects with the signal's reason. Whoever calls this ends
 * the process soon (`endProcess`); until then the work changes nothing more, for it looks at the signal after each call.
 */
export async function orAbandon<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: abandoned, reject } = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  const onAbort = (): void => {
    timer = setTimeout(() => reject(signal.reason), graceMs)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([work, abandoned])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

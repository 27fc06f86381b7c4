import type { Clock } from '../domain/run-context.ts'

/** Keeps an average rate: takes what is asked for at once and lets the next one wait for it. */
export class RateLimit {
  readonly #bytesPerSecond: number | undefined
  readonly #clock: Clock
  #freeAt: number

  constructor(bytesPerSecond: number | undefined, clock: Clock) {
    this.#bytesPerSecond = bytesPerSecond
    this.#clock = clock
    this.#freeAt = clock.monotonic()
  }

  /** Resolves when `bytes` more may be read. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#bytesPerSecond === undefined) return
    const now = this.#clock.monotonic()
    const startsAt = Math.max(now, this.#freeAt)
    this.#freeAt = startsAt + (bytes / this.#bytesPerSecond) * 1000
    if (startsAt > now) await this.#clock.sleep(startsAt - now, signal)
  }
}

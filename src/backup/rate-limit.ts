import type { RunContext } from '../domain/run-context.ts'

/** Keeps an average rate: takes what is asked for at once and lets the next one wait for it. */
export class RateLimit {
  readonly #bytesPerSecond: number | undefined
  readonly #context: RunContext
  #freeAt: number

  constructor(bytesPerSecond: number | undefined, context: RunContext) {
    this.#bytesPerSecond = bytesPerSecond
    this.#context = context
    this.#freeAt = context.clock.monotonic()
  }

  /** Resolves when `bytes` more may be read. */
  async take(bytes: number): Promise<void> {
    this.#context.signal.throwIfAborted()
    if (this.#bytesPerSecond === undefined) return
    const now = this.#context.clock.monotonic()
    const startsAt = Math.max(now, this.#freeAt)
    this.#freeAt = startsAt + (bytes / this.#bytesPerSecond) * 1000
    if (startsAt > now) await this.#context.clock.sleep(startsAt - now, this.#context.signal)
  }
}

import type { Clock } from '../../src/domain/run-context.ts'

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #wall = 1_800_000_000_000
  #monotonic = 0
  #sleepers: { until: number; wake: () => void }[] = []

  now(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  /** Longer than a beat of a lease: whoever waits so long watches somebody, and the time passes for all. */
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms > 60_000) return this.#pass(ms)
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true })
      this.#sleepers.push({ until: this.#monotonic + ms, wake: resolve })
    })
  }

  async #pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10_000) await this.advance(10_000)
  }

  /** The wall clock goes on and nobody wakes. */
  skip(ms: number): void {
    this.#wall += ms
  }

  /** Lets time pass; `isSuspended`: only by the wall, as while the machine sleeps. */
  async advance(ms: number, { isSuspended = false } = {}): Promise<void> {
    this.#wall += ms
    if (!isSuspended) this.#monotonic += ms
    const due = this.#sleepers.filter(({ until }) => until <= this.#monotonic)
    this.#sleepers = this.#sleepers.filter(({ until }) => until > this.#monotonic)
    for (const { wake } of due) wake()
    for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate)
  }
}

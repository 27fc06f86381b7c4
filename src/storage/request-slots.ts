/** What one request takes of the store's bounds while it is under way. */
export interface SlotBounds {
  readonly requests: number
  readonly bytes: number
}

interface Waiting {
  readonly bytes: number
  readonly start: () => void
}

/**
 * Bounds how much is asked of a store at once: so many requests, and so many bytes in memory. When the store asks to be
 * asked less, the number of requests is halved; each answer after that lets it grow again. First come, first served.
 */
export class RequestSlots {
  readonly #bounds: SlotBounds
  #allowedRequests: number
  #requests = 0
  #bytes = 0
  #waiting: Waiting[] = []

  constructor(bounds: SlotBounds) {
    this.#bounds = bounds
    this.#allowedRequests = bounds.requests
  }

  /** How many requests may be under way at once now. */
  get allowedRequests(): number {
    return Math.floor(this.#allowedRequests)
  }

  async run<T>(bytes: number, signal: AbortSignal, request: () => Promise<T>): Promise<T> {
    await this.#enter(Math.min(bytes, this.#bounds.bytes), signal)
    try {
      return await request()
    } finally {
      this.#leave(Math.min(bytes, this.#bounds.bytes))
    }
  }

  /** The store has too much to do. */
  shrink(): void {
    this.#allowedRequests = Math.max(1, this.#allowedRequests / 2)
  }

  /** The store answered. */
  grow(): void {
    this.#allowedRequests = Math.min(this.#bounds.requests, this.#allowedRequests + 1 / this.#allowedRequests)
  }

  #enter(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = (): void => {
      this.#waiting = this.#waiting.filter((other) => other !== waiting)
      reject(signal.reason)
      this.#startNext()
    }
    const waiting: Waiting = {
      bytes,
      start: () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      },
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.push(waiting)
    this.#startNext()
    return promise
  }

  #leave(bytes: number): void {
    this.#requests -= 1
    this.#bytes -= bytes
    this.#startNext()
  }

  #startNext(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#hasRoom(next); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#requests += 1
      this.#bytes += next.bytes
      next.start()
    }
  }

  #hasRoom({ bytes }: Waiting): boolean {
    return this.#requests < this.allowedRequests && this.#bytes + bytes <= this.#bounds.bytes
  }
}

import type { Clock } from '../../domain/run-context.ts'

export interface AccessToken {
  readonly value: string
  /** When it must not be used any more, in ms since the epoch. */
  readonly expiresAtMs: number
}

/** Asks for a new token, once. */
export type AskForToken = (signal: AbortSignal) => Promise<AccessToken>

/** A token is not used when it ends so soon: a request may take a while. */
const marginMs = 3 * 60_000

/**
 * The token that requests carry, asked for when there is none or it ends soon. Callers that come meanwhile wait for the
 * same answer, and share its failure.
 */
export class AccessTokens {
  readonly #ask: AskForToken
  readonly #clock: Pick<Clock, 'now'>
  readonly #closed = new AbortController()
  #token: AccessToken | undefined
  #pending: Promise<AccessToken> | undefined

  constructor(ask: AskForToken, clock: Pick<Clock, 'now'>) {
    this.#ask = ask
    this.#clock = clock
  }

  /** `isNew`: it was asked for by this call, so that asking again would bring no better one. */
  async get(signal: AbortSignal): Promise<{ readonly value: string; readonly isNew: boolean }> {
    const token = this.#token
    if (token !== undefined && token.expiresAtMs - this.#clock.now() > marginMs) {
      return { value: token.value, isNew: false }
    }
    this.#pending ??= this.#renew()
    const { value } = await unlessAborted(this.#pending, signal)
    return { value, isNew: true }
  }

  /** The store does not take it any more. */
  forget(value: string): void {
    if (this.#token?.value === value) this.#token = undefined
  }

  /** Ends what is being asked. */
  close(): void {
    this.#closed.abort()
  }

  async #renew(): Promise<AccessToken> {
    try {
      this.#token = await this.#ask(this.#closed.signal)
      return this.#token
    } finally {
      this.#pending = undefined
    }
  }
}

/** What others wait for too is not ended by one of them, who leaves. */
async function unlessAborted<T>(shared: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([shared, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

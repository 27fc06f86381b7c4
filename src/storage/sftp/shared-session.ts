import type { SftpSession } from './sftp-session.ts'

/** One session for all calls of a store: opened when it is needed, and anew when it was lost. */
export class SharedSession {
  readonly #open: (signal: AbortSignal) => Promise<SftpSession>
  readonly #ended = new AbortController()
  #opening: Promise<SftpSession> | undefined
  #session: SftpSession | undefined

  constructor(open: (signal: AbortSignal) => Promise<SftpSession>) {
    this.#open = open
  }

  /** The session, if there is one that was not lost. */
  get current(): SftpSession | undefined {
    return this.#session?.isAlive === true ? this.#session : undefined
  }

  /** Callers wait for the same opening; when it fails, all of them are told, and the next one to call tries again. */
  async get(signal: AbortSignal): Promise<SftpSession> {
    signal.throwIfAborted()
    if (this.current !== undefined) return this.current
    this.#opening ??= this.#reopen()
    const opening = this.#opening
    const aborted = Promise.withResolvers<never>()
    const onAbort = (): void => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([opening, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** What is still being opened ends too. */
  end(): void {
    this.#ended.abort(new Error('the store was closed'))
    this.#session?.end()
  }

  async #reopen(): Promise<SftpSession> {
    try {
      this.#session = await this.#open(this.#ended.signal)
      return this.#session
    } finally {
      this.#opening = undefined
    }
  }
}

import { once } from 'node:events'
import * as http from 'node:http'
import * as https from 'node:https'
import { getCACertificates } from 'node:tls'

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** One after the other; they must stay as they are until there is an answer. */
  readonly body?: readonly Uint8Array[]
}

/** What came before the body, which is still to be read: to its end, or `destroy` ends the connection. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: http.IncomingMessage
}

interface HttpClientOptions {
  readonly caCertificates: string | undefined
  readonly maxConnections: number
  readonly idleTimeoutMs: number
}

const connectTimeoutMs = 10_000
/** What is handed to a connection at once: so silence is noticed while an object is on its way. */
const chunkBytes = 256 * 1024

/**
 * One request, one answer: no retry, no redirect, no decoding, no proxy. Connections are kept for the next request; one on
 * which nothing moves for `idleTimeoutMs` ends with an error whose code is `TimeoutError`. Certificates are always checked.
 */
export class HttpClient {
  readonly #plain: http.Agent
  readonly #secure: https.Agent
  readonly #idleTimeoutMs: number

  constructor({ caCertificates, maxConnections, idleTimeoutMs }: HttpClientOptions) {
    const keeping = { keepAlive: true, maxSockets: maxConnections }
    this.#plain = new http.Agent(keeping)
    this.#secure = new https.Agent({
      ...keeping,
      minVersion: 'TLSv1.2',
      // Whatever the environment says.
      rejectUnauthorized: true,
      ...(caCertificates !== undefined && { ca: [...getCACertificates('default'), caCertificates] }),
    })
    this.#idleTimeoutMs = idleTimeoutMs
  }

  /**
   * The answer as soon as it begins, also when the request is not all sent by then, such as a refusal: once that is read to
   * its end, Node ends the connection and nothing more is sent.
   */
  async ask(asked: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>()
    const request = this.#open(asked, signal)
    request.once('response', resolve)
    request.on('error', reject) // after an answer has begun it rejects nothing: the body ends with an error of its own
    this.#giveUpSilence(request)
    send(request, asked.body ?? []).catch(reject)
    const response = await promise
    return { status: response.statusCode ?? 0, headers: plainHeaders(response.headers), body: response }
  }

  close(): void {
    this.#plain.destroy()
    this.#secure.destroy()
  }

  #open({ method, url, headers, body = [] }: HttpRequest, signal: AbortSignal): http.ClientRequest {
    const length = body.reduce((sum, part) => sum + part.length, 0)
    const options = {
      method,
      signal,
      // Also while a connection is being made.
      timeout: this.#idleTimeoutMs,
      headers: {
        ...headers,
        // What lies between may otherwise compress, and then neither lengths nor ranges mean anything.
        'accept-encoding': 'identity',
        ...((method === 'POST' || method === 'PUT') && { 'content-length': String(length) }),
      },
    }
    return url.protocol === 'https:'
      ? https.request(url, { ...options, agent: this.#secure })
      : http.request(url, { ...options, agent: this.#plain })
  }

  #giveUpSilence(request: http.ClientRequest): void {
    let response: http.IncomingMessage | undefined
    request.once('response', (begun) => {
      response = begun
    })
    request.on('timeout', () => (response ?? request).destroy(timedOut(this.#idleTimeoutMs)))
    request.once('socket', (socket) => {
      if (!socket.connecting) return
      const timer = setTimeout(() => request.destroy(timedOut(connectTimeoutMs)), connectTimeoutMs)
      const stop = (): void => clearTimeout(timer)
      socket.once('connect', stop)
      socket.once('close', stop)
    })
  }
}

/** Waits for room, so that the bytes are not all copied into the connection at once. */
async function send(request: http.ClientRequest, body: readonly Uint8Array[]): Promise<void> {
  for (const part of body) {
    for (let offset = 0; offset < part.length; offset += chunkBytes) {
      if (request.destroyed) return // its error, or the answer that ended it, is told elsewhere
      if (!request.write(part.subarray(offset, offset + chunkBytes))) await roomIn(request)
    }
  }
  request.end()
}

async function roomIn(request: http.ClientRequest): Promise<void> {
  const done = new AbortController()
  try {
    await Promise.race([
      once(request, 'drain', { signal: done.signal }),
      once(request, 'close', { signal: done.signal }),
    ])
  } finally {
    done.abort()
  }
}

function timedOut(afterMs: number): Error {
  return Object.assign(new Error(`nothing moved for ${afterMs} ms`), { code: 'TimeoutError' })
}

function plainHeaders(headers: http.IncomingHttpHeaders): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  )
}

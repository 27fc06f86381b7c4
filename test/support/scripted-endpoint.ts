import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

/** An answer before it is sent, which a fault may change. */
export interface Answer {
  status: number
  headers: Record<string, string>
  body: Buffer
}

export interface Asked {
  readonly method: string
  /** As it was sent. */
  readonly path: string
  /** Without the bucket, or what else stands before the keys. */
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** What goes wrong with a request. */
export type Fault =
  /** Nothing is done, and this is the answer. */
  | {
      readonly kind: 'refuse'
      readonly status: number
      readonly code: string
      readonly headers?: Record<string, string>
    }
  /** Nothing is done, and this is the answer; or it is there before the body was read. */
  | { readonly kind: 'answer' | 'answer-early'; readonly answer: Answer }
  /** Nothing is done, and the connection ends. */
  | { readonly kind: 'reset' }
  /** It is done, and the connection ends. */
  | { readonly kind: 'lose-answer' }
  /** It is done, and the answer is another one. */
  | { readonly kind: 'change'; readonly change: (answer: Answer) => void }
  /** It is done; of the body so much is sent, and then the connection ends, or nothing comes any more. */
  | { readonly kind: 'cut-body' | 'stall-body'; readonly bytes: number }
  /** It is done; the body comes so slowly. */
  | { readonly kind: 'slow-body'; readonly bytesPerTick: number; readonly tickMs: number }
  /** Nothing is done or answered. */
  | { readonly kind: 'stall' }

/** Which requests a fault strikes. */
export interface Strike {
  readonly method?: string
  /** Part of the key or of the query. */
  readonly part?: string
  /** Default: once. */
  readonly times?: number
}

/** What an endpoint does when nothing goes wrong. */
export interface EndpointRules {
  /** Takes what stands before the key off the path of the address, which begins with a slash. */
  readonly keyOf: (path: string) => string
  /** The refusal of a request that does not prove who sends it; undefined: it does. */
  readonly refuse: (request: IncomingMessage, asked: Asked) => Answer | undefined
  readonly answer: (request: IncomingMessage, asked: Asked) => Answer
  /** What a fault of the kind `refuse` is answered with. */
  readonly refusal: (status: number, code: string) => Answer
}

/** A web server on this machine with faults by plan: for what no real store does when it is asked to. */
export class ScriptedEndpoint implements AsyncDisposable {
  readonly requests: Asked[] = []
  /** How much came over each connection that was answered early, once it has ended. */
  readonly bytesAfterEarlyAnswers: number[] = []
  /** How long every answer takes at least. */
  latencyMs = 0
  /** Whether requests are remembered: with their bodies, which may be many bytes. */
  remembersRequests = true
  #faults: { readonly fault: Fault; readonly strike: Strike; left: number }[] = []
  readonly #server: Server
  readonly #scheme: string
  readonly #rules: EndpointRules

  /** With the name of a certificate it speaks TLS. */
  constructor(rules: EndpointRules, certificate?: string) {
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      this.#answer(request, response).catch(() => response.destroy())
    }
    this.#rules = rules
    this.#scheme = certificate === undefined ? 'http' : 'https'
    this.#server =
      certificate === undefined
        ? createServer(onRequest)
        : createTlsServer({ cert: pem(`${certificate}.pem`), key: pem(`${certificate}.key`) }, onRequest)
  }

  /** On a port that is free. */
  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the endpoint does not listen')
    return `${this.#scheme}://127.0.0.1:${address.port}`
  }

  plan(fault: Fault, strike: Strike = {}): void {
    this.#faults.push({ fault, strike, left: strike.times ?? 1 })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const head = this.#readHead(request)
    const fault = this.#faultFor(head)
    if (fault?.kind === 'answer-early') {
      const { socket } = request
      socket.once('close', () => this.bytesAfterEarlyAnswers.push(socket.bytesRead))
      await send(response, fault.answer, { fault, isHead: false })
      return
    }
    const asked = { ...head, body: await buffer(request) }
    if (this.remembersRequests) this.requests.push(asked)
    if (this.latencyMs > 0) await sleep(this.latencyMs)
    await this.#act(request, response, { asked, fault })
  }

  async #act(
    request: IncomingMessage,
    response: ServerResponse,
    { asked, fault }: { readonly asked: Asked; readonly fault: Fault | undefined },
  ): Promise<void> {
    if (fault?.kind === 'stall') return
    if (fault?.kind === 'reset') {
      response.destroy()
      return
    }
    const answer = this.#rules.refuse(request, asked) ?? this.#decide(request, asked, fault)
    if (fault?.kind === 'change') fault.change(answer)
    await send(response, answer, { fault, isHead: asked.method === 'HEAD' })
  }

  #decide(request: IncomingMessage, asked: Asked, fault: Fault | undefined): Answer {
    if (fault?.kind === 'answer') return fault.answer
    if (fault?.kind !== 'refuse') return this.#rules.answer(request, asked)
    const { status, headers, body } = this.#rules.refusal(fault.status, fault.code)
    return { status, headers: { ...headers, ...fault.headers }, body }
  }

  #readHead(request: IncomingMessage): Omit<Asked, 'body'> {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '', 'http://host')
    const { method = '', headers } = request
    return { method, path, key: this.#rules.keyOf(decodeURIComponent(path)), query, headers }
  }

  #faultFor({ method, key, query }: Omit<Asked, 'body'>): Fault | undefined {
    const planned = this.#faults.find(
      ({ strike, left }) =>
        left > 0 &&
        (strike.method ?? method) === method &&
        `${key}?${query.toString()}`.includes(strike.part ?? ''),
    )
    if (planned !== undefined) planned.left -= 1
    return planned?.fault
  }
}

/** A certificate or key of the folder `certificates`; the authority of those that are in order is `ca.pem`. */
export function pem(name: string): string {
  return readFileSync(join(import.meta.dirname, 'certificates', name), 'utf8')
}

export function xml(root: string, content: string, status = 200): Answer {
  const body = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?><${root}>${content}</${root}>`)
  return { status, headers: { 'content-type': 'application/xml' }, body }
}

interface Sending {
  readonly fault: Fault | undefined
  readonly isHead: boolean
}

async function send(response: ServerResponse, answer: Answer, { fault, isHead }: Sending): Promise<void> {
  if (fault?.kind === 'lose-answer') {
    response.destroy()
    return
  }
  const { body } = answer
  response.writeHead(answer.status, headersOf(answer))
  if (fault?.kind === 'cut-body') response.write(body.subarray(0, fault.bytes), () => response.destroy())
  else if (fault?.kind === 'stall-body') response.write(body.subarray(0, fault.bytes))
  else if (fault?.kind === 'slow-body') await drip(response, body, fault)
  else response.end(isHead ? undefined : body)
}

/** An answer without content must not tell its length (RFC 9110). */
function headersOf({ status, headers, body }: Answer): Record<string, string | number> {
  return status === 204 ? headers : { 'content-length': body.length, ...headers }
}

async function drip(
  response: ServerResponse,
  body: Buffer,
  { bytesPerTick, tickMs }: { readonly bytesPerTick: number; readonly tickMs: number },
): Promise<void> {
  for (let sent = 0; sent < body.length && !response.destroyed; sent += bytesPerTick) {
    response.write(body.subarray(sent, sent + bytesPerTick))
    await new Promise((resolve) => setTimeout(resolve, tickMs))
  }
  response.end()
}

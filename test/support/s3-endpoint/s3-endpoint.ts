import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { S3StoreOptions } from '../../../src/storage/s3/s3-options.ts'
import { signatureFault, type EndpointKeys } from './check-signature.ts'

/** An answer before it is sent, which a fault may change. */
export interface Answer {
  status: number
  headers: Record<string, string>
  body: Buffer
}

export interface Asked {
  readonly method: string
  /** Without the bucket. */
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

interface Stored {
  readonly bytes: Buffer
  readonly token: string
  readonly modified: Date
}

const bucket = 'bucket'

/**
 * S3 as far as the store uses it, in memory, with faults by plan: for what no real server does when it is asked to. That it is
 * right otherwise is shown by the contract of all stores, which also runs against a real server.
 */
export class S3Endpoint implements AsyncDisposable {
  readonly requests: Asked[] = []
  readonly objects = new Map<string, Stored>()
  readonly keys: EndpointKeys = { accessKeyId: 'KEY', secretAccessKey: 'secret-canary-1234' }
  /** How many keys one page of a listing has at most. */
  pageSize = 1000
  /** How long every answer takes at least. */
  latencyMs = 0
  /** Whether requests are remembered: with their bodies, which may be many bytes. */
  remembersRequests = true
  /** As stores do that do not know conditional writes. */
  ignoresConditions = false
  #faults: { readonly fault: Fault; readonly strike: Strike; left: number }[] = []
  readonly #server: Server
  readonly #scheme: string

  constructor(certificate?: string) {
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      this.#answer(request, response).catch(() => response.destroy())
    }
    this.#scheme = certificate === undefined ? 'http' : 'https'
    this.#server =
      certificate === undefined
        ? createServer(onRequest)
        : createTlsServer({ cert: pem(`${certificate}.pem`), key: pem(`${certificate}.key`) }, onRequest)
  }

  static async start(certificate?: string): Promise<S3Endpoint> {
    const endpoint = new S3Endpoint(certificate)
    endpoint.#server.listen(0, '127.0.0.1')
    await once(endpoint.#server, 'listening')
    return endpoint
  }

  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the endpoint does not listen')
    return `${this.#scheme}://127.0.0.1:${address.port}`
  }

  get options(): S3StoreOptions {
    return {
      endpoint: this.url,
      region: 'us-east-1',
      readCredentials: () => Promise.resolve(this.keys),
      maxRequests: 8,
      idleTimeoutMs: 500,
      callTimeoutMs: 10_000,
    }
  }

  plan(fault: Fault, strike: Strike = {}): void {
    this.#faults.push({ fault, strike, left: strike.times ?? 1 })
  }

  put(key: string, bytes: Uint8Array, token = 'of somebody else'): void {
    this.objects.set(key, { bytes: Buffer.from(bytes), token, modified: new Date() })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { name, asked } = await readRequest(request)
    if (this.remembersRequests) this.requests.push(asked)
    if (this.latencyMs > 0) await sleep(this.latencyMs)
    const fault = this.#faultFor(asked)
    if (fault?.kind === 'stall') return
    if (fault?.kind === 'reset') {
      response.destroy()
      return
    }
    const refused = signatureFault(request, asked.body, this.keys)
    const answer = refused === undefined ? this.#decide(name, asked, fault) : refusal(403, refused)
    if (fault?.kind === 'change') fault.change(answer)
    await send(response, answer, { fault, isHead: asked.method === 'HEAD' })
  }

  #decide(name: string, asked: Asked, fault: Fault | undefined): Answer {
    if (fault?.kind === 'refuse') {
      const { status, headers, body } = refusal(fault.status, fault.code)
      return { status, headers: { ...headers, ...fault.headers }, body }
    }
    if (name !== bucket) return refusal(404, 'NoSuchBucket')
    switch (asked.method) {
      case 'PUT':
        return this.#store(asked)
      case 'POST':
        return this.#delete(asked)
      default:
        return asked.key === '' ? this.#list(asked) : this.#read(asked)
    }
  }

  #store({ key, headers, body }: Asked): Answer {
    const isConditional = headers['if-none-match'] === '*' && !this.ignoresConditions
    if (isConditional && this.objects.has(key)) return refusal(412, 'PreconditionFailed')
    this.put(key, body, String(headers['x-amz-meta-holdfast-put']))
    return { status: 200, headers: { etag: '"etag"' }, body: Buffer.alloc(0) }
  }

  #read({ key, headers }: Asked): Answer {
    const found = this.objects.get(key)
    if (found === undefined) return refusal(404, 'NoSuchKey')
    const { bytes, token, modified } = found
    const described = {
      'last-modified': modified.toUTCString(),
      'x-amz-meta-holdfast-put': token,
      etag: '"etag"',
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
    if (first === undefined) return { status: 200, headers: described, body: bytes }
    if (Number(first) >= bytes.length) return refusal(416, 'InvalidRange')
    const end = Math.min(Number(last) + 1, bytes.length)
    const range = `bytes ${first}-${end - 1}/${bytes.length}`
    return {
      status: 206,
      headers: { ...described, 'content-range': range },
      body: bytes.subarray(Number(first), end),
    }
  }

  #list({ query }: Asked): Answer {
    const prefix = query.get('prefix') ?? ''
    const after = query.get('continuation-token') ?? ''
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).toSorted()
    const page = keys.slice(0, this.pageSize)
    const contents = page.map((key) => {
      const { bytes, modified } = this.objects.get(key) ?? { bytes: Buffer.alloc(0), modified: new Date() }
      return `<Contents><Key>${key}</Key><Size>${bytes.length}</Size><LastModified>${modified.toISOString()}</LastModified></Contents>`
    })
    const isCut = page.length < keys.length
    const next = isCut ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : ''
    return xml(
      'ListBucketResult',
      `<Name>${bucket}</Name><Prefix>${prefix}</Prefix><IsTruncated>${isCut}</IsTruncated>${contents.join('')}${next}`,
    )
  }

  #delete({ body }: Asked): Answer {
    const keys = [...body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = '']) => key)
    for (const key of keys) this.objects.delete(key)
    return xml('DeleteResult', keys.map((key) => `<Deleted><Key>${key}</Key></Deleted>`).join(''))
  }

  #faultFor({ method, key, query }: Asked): Fault | undefined {
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

/** A certificate or key of this folder; the authority of those that are in order is `ca.pem`. */
export function pem(name: string): string {
  return readFileSync(join(import.meta.dirname, 'certificates', name), 'utf8')
}

export function xml(root: string, content: string, status = 200): Answer {
  const body = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?><${root}>${content}</${root}>`)
  return { status, headers: { 'content-type': 'application/xml' }, body }
}

function refusal(status: number, code: string): Answer {
  return xml('Error', `<Code>${code}</Code><Message>text of the server</Message>`, status)
}

async function readRequest(request: IncomingMessage): Promise<{ name: string; asked: Asked }> {
  const body = await buffer(request)
  const url = new URL(request.url ?? '', 'http://host')
  const [, name = '', ...key] = decodeURIComponent(url.pathname).split('/')
  const { method = '', headers } = request
  return { name, asked: { method, key: key.join('/'), query: url.searchParams, headers, body } }
}

interface Sending {
  readonly fault: Fault | undefined
  readonly isHead: boolean
}

async function send(
  response: ServerResponse,
  { status, headers, body }: Answer,
  { fault, isHead }: Sending,
): Promise<void> {
  if (fault?.kind === 'lose-answer') {
    response.destroy()
    return
  }
  response.writeHead(status, { 'content-length': body.length, ...headers })
  if (fault?.kind === 'cut-body') response.write(body.subarray(0, fault.bytes), () => response.destroy())
  else if (fault?.kind === 'stall-body') response.write(body.subarray(0, fault.bytes))
  else if (fault?.kind === 'slow-body') await drip(response, body, fault)
  else response.end(isHead ? undefined : body)
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

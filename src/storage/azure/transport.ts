import assert from 'node:assert/strict'
import { request as plainRequest, Agent as PlainAgent, type IncomingMessage } from 'node:http'
import { request as secureRequest, Agent as SecureAgent } from 'node:https'
import { getCACertificates } from 'node:tls'
import type { HttpOperationResponse, IHttpClient, WebResource } from '@azure/storage-blob'
import { AnswerFault } from '../answer-fault.ts'
import type { AzureStoreOptions } from './azure-options.ts'
import type { Credentials, Grant } from './credentials.ts'

const connectTimeoutMs = 10_000
/** Listings and errors; a page of 5000 objects has 4 MB. */
const mostTextBytes = 64 * 1024 * 1024

/**
 * Sends the requests that the SDK has built. Ours, because the SDK's own way knows no idle connections, takes proxies and trust from
 * the environment, and would have our secrets in every error: they are added here, after the SDK is done.
 */
export class Transport implements IHttpClient {
  readonly #agents: { readonly plain: PlainAgent; readonly secure: SecureAgent }
  readonly #idleTimeoutMs: number
  readonly #credentials: Credentials

  constructor({ maxRequests, idleTimeoutMs, caCertificates }: AzureStoreOptions, credentials: Credentials) {
    const kept = { keepAlive: true, maxSockets: maxRequests }
    this.#agents = {
      plain: new PlainAgent(kept),
      secure: new SecureAgent({
        ...kept,
        minVersion: 'TLSv1.2',
        // Whatever the environment says.
        rejectUnauthorized: true,
        ...(caCertificates !== undefined && { ca: [...getCACertificates('default'), caCertificates] }),
      }),
    }
    this.#idleTimeoutMs = idleTimeoutMs
    this.#credentials = credentials
  }

  /** Rejects with the error of the network as it is, with `AnswerFault`, or with what the credentials reject with. */
  async sendRequest(request: WebResource): Promise<HttpOperationResponse> {
    const grant = await orAborted(this.#credentials.grant(), request)
    const answer = await this.#exchange(request, grant)
    const status = answer.statusCode ?? 0
    const headers = request.headers.clone()
    for (const name of headers.headerNames()) headers.remove(name)
    for (const [name, value] of Object.entries(answer.headers)) {
      // Redirects are not followed: they would take our secrets elsewhere.
      if (typeof value === 'string' && name !== 'location') headers.set(name, value)
    }
    const result = { request, status, headers }
    if (request.streamResponseStatusCodes?.has(status) === true) {
      // Without these the SDK would leave the body alone, and with it the connection.
      if (headers.contains('content-length') && headers.contains('etag')) {
        return { ...result, readableStreamBody: answer }
      }
      answer.destroy()
      throw new AnswerFault('the store did not say what it sends, or how long it is')
    }
    return { ...result, bodyAsText: await readText(answer) }
  }

  close(): void {
    this.#agents.plain.destroy()
    this.#agents.secure.destroy()
  }

  #exchange(request: WebResource, grant: Grant): Promise<IncomingMessage> {
    const url = addressOf(request, grant)
    const isSecure = url.protocol === 'https:'
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const sent = (isSecure ? secureRequest : plainRequest)(url, {
      agent: isSecure ? this.#agents.secure : this.#agents.plain,
      method: request.method,
      // Nothing is decoded on the way.
      headers: { ...request.headers.toJson(), ...grant.headers, 'accept-encoding': 'identity' },
    })
    const onAbort = (): void => void sent.destroy(endedByCaller())
    request.abortSignal?.addEventListener('abort', onAbort)
    sent.once('close', () => request.abortSignal?.removeEventListener('abort', onAbort))
    sent.once('response', resolve)
    sent.on('error', reject)
    sent.on('timeout', () => sent.destroy(new IdleConnection()))
    sent.once('socket', (socket) => {
      if (!socket.connecting) return void sent.setTimeout(this.#idleTimeoutMs)
      sent.setTimeout(Math.min(connectTimeoutMs, this.#idleTimeoutMs))
      socket.once(isSecure ? 'secureConnect' : 'connect', () => sent.setTimeout(this.#idleTimeoutMs))
    })
    if (request.abortSignal?.aborted === true) onAbort()
    sent.end(bodyOf(request))
    return promise
  }
}

/** Nothing moved on a connection for too long. */
class IdleConnection extends Error {
  override readonly name = 'IdleConnection'
  readonly code = 'TimeoutError'
}

function addressOf({ url }: WebResource, { query }: Grant): URL {
  const address = new URL(url)
  if (query !== undefined) address.search = address.search === '' ? query : `${address.search}&${query}`
  return address
}

function bodyOf({ body }: WebResource): Uint8Array | string | undefined {
  const given: unknown = body
  if (given === undefined || given === null) return undefined
  assert.ok(given instanceof Uint8Array || typeof given === 'string', 'the SDK sends bytes or text')
  return given
}

/** Whoever gives out tokens may let us wait; a caller that ends does not. */
async function orAborted<T>(granted: Promise<T>, { abortSignal }: WebResource): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(endedByCaller())
  abortSignal?.addEventListener('abort', onAbort)
  try {
    return await Promise.race([granted, aborted])
  } finally {
    abortSignal?.removeEventListener('abort', onAbort)
  }
}

/** Nobody sees it: the caller gets the reason of its signal. */
function endedByCaller(): Error {
  return new Error('the caller has ended the request')
}

async function readText(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let received = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    received += chunk.length
    if (received > mostTextBytes) throw new AnswerFault('the store sent more than an answer can have')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

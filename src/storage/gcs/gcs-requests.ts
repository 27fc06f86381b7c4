import type { Clock } from '../../domain/run-context.ts'
import { AnswerFault } from '../answer-fault.ts'
import type { StillThere } from '../delete-each.ts'
import type { Page } from '../list-objects.ts'
import { readBody } from '../read-body.ts'
import type { FoundObject, ReadObject } from '../request-store.ts'
import { AccessTokens, type AskForToken } from './access-tokens.ts'
import { checkPart, checkWhole, type AskedRange } from './check-part.ts'
import { askWithFile } from './file-token.ts'
import type { GcsLocation, GcsStoreOptions } from './gcs-options.ts'
import { HttpClient, type HttpAnswer, type HttpRequest } from './http-client.ts'
import { askInstance } from './instance-token.ts'
import { checkStored, formatCrc32c, toFoundObject, toPage, tokenName } from './read-resource.ts'
import { readJson, readRefusal, readText, StoreRefusal } from './store-refusal.ts'
import { TokenFault } from './token-fault.ts'
import { uploadBody } from './upload-body.ts'

const usualEndpoint = 'https://storage.googleapis.com'

const objectFields = 'name,size,timeCreated,metadata'
const storedFields = 'name,size,crc32c'
const pageFields = 'kind,nextPageToken,items(name,size,timeCreated)'

/** An object that the store retains or holds, or that the account may not delete. */
export interface KeptByStore extends StillThere {
  /** As the store says it; undefined: it does not say, as for a hold. */
  readonly until: string | undefined
}

/**
 * One request each, without a retry: resolves with an answer that is whole, or rejects with `StoreRefusal`, `TokenFault`,
 * `AnswerFault` or an error of the network. Absent objects and taken keys are answers.
 */
export class GcsRequests {
  readonly #http: HttpClient
  readonly #tokens: AccessTokens | undefined
  readonly #location: GcsLocation
  readonly #options: GcsStoreOptions

  constructor(location: GcsLocation, options: GcsStoreOptions, clock: Pick<Clock, 'now'>) {
    const { caCertificates, idleTimeoutMs, maxRequests } = options
    this.#location = location
    this.#options = options
    this.#http = new HttpClient({ caCertificates, idleTimeoutMs, maxConnections: maxRequests })
    const ask = askerOf(options, this.#http, clock)
    this.#tokens = ask && new AccessTokens(ask, clock)
  }

  /** The whole object, or what it has of the range, which must not be empty. */
  async get(
    key: string,
    range: AskedRange | undefined,
    signal: AbortSignal,
  ): Promise<ReadObject | 'absent' | 'past-end'> {
    // Elsewhere the store may redirect to this address (mediaDownloadRedirect).
    const url = this.#bucketUrl('/download/storage/v1', this.#pathOf(key), { alt: 'media' })
    const headers = range && { range: `bytes=${range.offset}-${range.offset + range.length - 1}` }
    try {
      const answer = await this.#ask({ method: 'GET', url, headers }, signal)
      const { length, sizeBytes } = partOf(answer, range)
      const bytes = await readBody(answer.body, length)
      if (range === undefined && bytes.length === length) checkWhole(bytes, answer)
      return { sizeBytes, bytes }
    } catch (error) {
      if (error instanceof StoreRefusal && error.status === 416) return 'past-end'
      return this.#unlessAbsent(error, key, signal)
    }
  }

  /** 'taken': there is an object under the key. */
  async put(
    key: string,
    { bytes, token }: { readonly bytes: Uint8Array; readonly token: string },
    signal: AbortSignal,
  ): Promise<'created' | 'taken'> {
    const name = this.#nameOf(key)
    const { storageClass, kmsKey } = this.#options
    const resource = {
      name,
      contentType: 'application/octet-stream',
      // Read as they are, by everybody, every time: a key may be given again after its object was deleted.
      cacheControl: 'no-store, no-transform',
      crc32c: formatCrc32c(bytes),
      metadata: { [tokenName]: token },
      storageClass,
    }
    const { contentType, parts } = uploadBody(resource, bytes)
    const url = this.#bucketUrl('/upload/storage/v1', '/o', {
      uploadType: 'multipart',
      ifGenerationMatch: '0',
      fields: storedFields,
      ...(kmsKey !== undefined && { kmsKeyName: kmsKey }),
    })
    try {
      const headers = { 'content-type': contentType }
      const answer = await this.#ask({ method: 'POST', url, headers, body: parts }, signal)
      checkStored(await readJson(answer), { name, bytes })
      return 'created'
    } catch (error) {
      if (error instanceof StoreRefusal && error.status === 412) return 'taken'
      throw error
    }
  }

  /** Undefined: there is no such object. */
  async head(key: string, signal: AbortSignal): Promise<FoundObject | undefined> {
    try {
      const url = this.#objectUrl(key, { fields: objectFields })
      const answer = await this.#ask({ method: 'GET', url }, signal)
      return toFoundObject(await readJson(answer), this.#nameOf(key))
    } catch (error) {
      await this.#unlessAbsent(error, key, signal)
      return undefined
    }
  }

  async listPage(
    prefix: string,
    { after, limit = 1000 }: { readonly after: string | undefined; readonly limit?: number },
    signal: AbortSignal,
  ): Promise<Page> {
    const asked = this.#nameOf(prefix)
    const url = this.#bucketUrl('/storage/v1', '/o', {
      prefix: asked,
      maxResults: String(limit),
      fields: pageFields,
      ...(after !== undefined && { pageToken: after }),
    })
    const answer = await this.#ask({ method: 'GET', url }, signal)
    return toPage(await readJson(answer), asked, this.#location.keyPrefix)
  }

  /** 'gone', also when there was none, or why the store keeps it. */
  async delete(key: string, signal: AbortSignal): Promise<'gone' | KeptByStore> {
    try {
      const answer = await this.#ask({ method: 'DELETE', url: this.#objectUrl(key, {}) }, signal)
      await readText(answer)
      if (answer.status === 204) return 'gone'
      throw new AnswerFault('the store answered a deletion with something else')
    } catch (error) {
      const kept = keptBy(error)
      if (kept !== undefined) return kept
      await this.#unlessAbsent(error, key, signal)
      return 'gone'
    }
  }

  /** The error for whoever looks for the cause: what the store said, less the secrets, and never a request. */
  async withoutSecrets(error: unknown): Promise<unknown> {
    if (error instanceof StoreRefusal) return error.toCause()
    if (!(error instanceof TokenFault)) return error
    // A token server may repeat what it was sent, which are secrets all over.
    return error.cause instanceof StoreRefusal || error.cause instanceof AnswerFault
      ? new Error(`${error.message}: ${error.cause.message}`)
      : new Error(error.message)
  }

  close(): void {
    this.#tokens?.close()
    this.#http.close()
  }

  /**
   * 'absent' when the store said of this object that it is not there; otherwise rethrows. It says 404 also when there is no
   * bucket, and whatever lies between may say so too: when its words do not name the object, a listing decides.
   */
  async #unlessAbsent(error: unknown, key: string, signal: AbortSignal): Promise<'absent'> {
    if (!(error instanceof StoreRefusal) || error.status !== 404) throw error
    const name = this.#nameOf(key)
    if (error.serverText === `No such object: ${this.#location.bucket}/${name}`) return 'absent'
    const { objects } = await this.listPage(key, { after: undefined, limit: 1 }, signal)
    if (objects[0]?.key !== key) return 'absent'
    throw new AnswerFault('the store answered about an object as if there were none, and then listed it', {
      cause: error.toCause(),
    })
  }

  async #ask(
    asked: Omit<HttpRequest, 'headers'> & { headers?: Record<string, string> | undefined },
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const token = await this.#tokens?.get(signal)
    const authorization = token && { authorization: `Bearer ${token.value}` }
    const headers = { 'user-agent': 'holdfast', ...asked.headers, ...authorization }
    const answer = await this.#http.ask({ ...asked, headers }, signal)
    if (answer.status >= 200 && answer.status < 300) return answer
    const refusal = await readRefusal(answer, token?.value)
    if (answer.status === 401 && token !== undefined && !token.isNew) {
      this.#tokens?.forget(token.value)
      throw new AnswerFault('the store does not take the token any more', { cause: refusal.toCause() })
    }
    throw refusal
  }

  #objectUrl(key: string, query: Readonly<Record<string, string>>): URL {
    return this.#bucketUrl('/storage/v1', this.#pathOf(key), query)
  }

  #pathOf(key: string): string {
    return `/o/${encodeURIComponent(this.#nameOf(key))}`
  }

  #bucketUrl(service: string, rest: string, query: Readonly<Record<string, string>>): URL {
    const path = `${service}/b/${encodeURIComponent(this.#location.bucket)}${rest}`
    const url = new URL(path, this.#options.endpoint ?? usualEndpoint)
    url.search = new URLSearchParams(query).toString()
    return url
  }

  #nameOf(key: string): string {
    return `${this.#location.keyPrefix}${key}`
  }
}

/** An answer that is not read to its end ends its connection. */
function partOf(answer: HttpAnswer, range: AskedRange | undefined): ReturnType<typeof checkPart> {
  try {
    return checkPart(answer, range)
  } catch (error) {
    answer.body.destroy()
    throw error
  }
}

/** The JSON API calls a hold "forbidden", like a missing permission: its words tell them apart. */
function keptBy(error: unknown): KeptByStore | undefined {
  if (!(error instanceof StoreRefusal) || error.status !== 403) return undefined
  const { reason: name, serverText } = error
  const isHeld = name === 'objectUnderActiveHold' || /\bunder active [\w-]+ hold\b/i.test(serverText)
  if (isHeld) return { reason: 'retained', name: 'objectUnderActiveHold', until: undefined, error }
  if (name === 'forbidden') return { reason: 'forbidden', name, until: undefined, error }
  if (name !== 'retentionPolicyNotMet') return undefined
  const until = /\buntil (\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d))/.exec(serverText)?.[1]
  return { reason: 'retained', name, until, error }
}

function askerOf(
  { credentials }: GcsStoreOptions,
  http: HttpClient,
  clock: Pick<Clock, 'now'>,
): AskForToken | undefined {
  switch (credentials.kind) {
    case 'file':
      return (signal) => askWithFile({ read: credentials.read, http }, signal)
    case 'instance':
      return (signal) => askInstance({ client: http, server: credentials.server, clock }, signal)
    case 'none':
      return undefined
  }
}

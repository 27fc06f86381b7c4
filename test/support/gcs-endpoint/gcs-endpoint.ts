import { createHash } from 'node:crypto'
import { crc32c } from '../../../src/platform/crc32c.ts'
import type { GcsCredentials, GcsStoreOptions } from '../../../src/storage/gcs/gcs-options.ts'
import { ScriptedEndpoint, type Answer, type Asked, type Fault, type Strike } from '../scripted-endpoint.ts'
import { json, TokenServer } from './token-server.ts'

interface Stored {
  readonly bytes: Buffer
  readonly generation: number
  readonly created: Date
  readonly resource: Readonly<Record<string, unknown>>
}

const bucket = 'bucket'

/**
 * The JSON API of Google Cloud Storage as far as the store uses it, as Google documents it, in memory, with a token server
 * and with faults by plan. It is a stub: no real server of this kind can be installed.
 */
export class GcsEndpoint implements AsyncDisposable {
  readonly objects = new Map<string, Stored>()
  readonly tokens = new TokenServer()
  /** Why an object must not be deleted, in the words of the store. */
  readonly kept = new Map<string, { readonly reason: string; readonly message: string }>()
  /** As buckets with a retention policy do: nothing can be deleted. */
  retainsEverything = false
  /** How many names one page of a listing has at most. */
  pageSize = 1000
  /** As stores do that do not know conditional writes. */
  ignoresConditions = false
  /** As stores do whose words for an absent object are others. */
  saysNotFound = 'No such object: '
  readonly #server: ScriptedEndpoint
  #generation = 1_700_000_000_000_000

  constructor(certificate?: string) {
    this.#server = new ScriptedEndpoint(
      {
        keyOf: (path) => path,
        refuse: () => undefined, // who asks is a matter of the token
        answer: (_, asked) => this.tokens.answer(asked) ?? this.#unproven(asked) ?? this.#decide(asked),
        refusal,
      },
      certificate,
    )
  }

  static async start(certificate?: string): Promise<GcsEndpoint> {
    const endpoint = new GcsEndpoint(certificate)
    await endpoint.#server.listen()
    return endpoint
  }

  get url(): string {
    return this.#server.url
  }

  get requests(): readonly Asked[] {
    return this.#server.requests
  }

  /** How much came over each connection that was answered early, once it has ended. */
  get bytesAfterEarlyAnswers(): readonly number[] {
    return this.#server.bytesAfterEarlyAnswers
  }

  /** What the console of Google Cloud hands out for a service account. */
  get credentialsFile(): string {
    const { account, privateKey } = this.tokens
    return JSON.stringify({
      type: 'service_account',
      project_id: 'project',
      private_key_id: '1',
      private_key: privateKey,
      client_email: account,
      token_uri: `${this.url}/token`,
    })
  }

  get options(): GcsStoreOptions {
    const credentials: GcsCredentials = { kind: 'file', read: () => Promise.resolve(this.credentialsFile) }
    return {
      endpoint: this.url,
      credentials,
      maxRequests: 8,
      idleTimeoutMs: 500,
      callTimeoutMs: 10_000,
    }
  }

  /** What was asked of the store itself, without the tokens. */
  get storeRequests(): readonly Asked[] {
    return this.requests.filter(({ path }) => /^\/((upload|download)\/)?storage\//.test(path))
  }

  put(
    name: string,
    bytes: Uint8Array,
    resource: Readonly<Record<string, unknown>> = { metadata: { 'holdfast-put': 'of somebody else' } },
  ): Stored {
    this.#generation += 1
    const stored = { bytes: Buffer.from(bytes), generation: this.#generation, created: new Date(), resource }
    this.objects.set(name, stored)
    return stored
  }

  plan(fault: Fault, strike?: Strike): void {
    this.#server.plan(fault, strike)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
  }

  #unproven(asked: Asked): Answer | undefined {
    const [, sent] = /^Bearer (.+)$/.exec(asked.headers.authorization ?? '') ?? []
    if (sent === undefined) return refusal(401, 'required', 'Login Required')
    return this.tokens.valid.has(sent) ? undefined : refusal(401, 'authError', 'Invalid Credentials')
  }

  #decide(asked: Asked): Answer {
    const {
      service = '',
      name,
      object,
    } = /^\/(?<service>(?:upload|download)\/)?storage\/v1\/b\/(?<name>[^/]+)\/o(?:\/(?<object>[^/]+))?$/.exec(
      asked.path,
    )?.groups ?? {}
    if (name !== bucket) return refusal(404, 'notFound', 'The specified bucket does not exist.')
    if (object === undefined) return service === 'upload/' ? this.#store(asked) : this.#list(asked)
    const key = decodeURIComponent(object)
    if (asked.method === 'DELETE') return this.#delete(key)
    if (asked.query.get('alt') !== 'media') return this.#describe(key, asked)
    return service === 'download/' ? this.#read(key, asked) : refusal(302, 'mediaDownloadRedirect')
  }

  #store({ query, headers, body }: Asked): Answer {
    const { resource, bytes } = readUpload(headers['content-type'] ?? '', body)
    const name = String(resource['name'])
    const isConditional = query.get('ifGenerationMatch') === '0' && !this.ignoresConditions
    if (isConditional && this.objects.has(name)) {
      return refusal(412, 'conditionNotMet', 'At least one of the pre-conditions you specified did not hold.')
    }
    if (resource['crc32c'] !== checksum(bytes)) {
      const message = `Provided CRC32C "${String(resource['crc32c'])}" doesn't match calculated CRC32C "${checksum(bytes)}".`
      return refusal(400, 'invalid', message)
    }
    return json(200, selected(describe(name, this.put(name, bytes, resource)), query))
  }

  #describe(name: string, { query }: Asked): Answer {
    const found = this.objects.get(name)
    if (found === undefined) return refusal(404, 'notFound', `${this.saysNotFound}${bucket}/${name}`)
    return json(200, selected(describe(name, found), query))
  }

  #read(name: string, { headers }: Asked): Answer {
    const found = this.objects.get(name)
    if (found === undefined) return plain(404, `${this.saysNotFound}${bucket}/${name}`)
    const { bytes, generation } = found
    const described = {
      'content-type': 'application/octet-stream',
      'x-goog-generation': String(generation),
      'x-goog-hash': `crc32c=${checksum(bytes)},md5=${createHash('md5').update(bytes).digest('base64')}`,
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
    if (first === undefined) return { status: 200, headers: described, body: bytes }
    if (Number(first) >= bytes.length) return plain(416, 'The requested range cannot be satisfied.')
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
    const after = Buffer.from(query.get('pageToken') ?? '', 'base64').toString()
    const names = [...this.objects.keys()]
      .filter((name) => name.startsWith(prefix) && name > after)
      .toSorted()
    const page = names.slice(0, Math.min(this.pageSize, Number(query.get('maxResults') ?? 1000)))
    const next = page.length < names.length ? Buffer.from(page.at(-1) ?? '').toString('base64') : undefined
    const items = page.map((name) =>
      describe(name, this.objects.get(name) ?? this.put(name, Buffer.alloc(0))),
    )
    const [, picked] = /items\(([^)]*)\)/.exec(query.get('fields') ?? '') ?? []
    const shown = items.map((item) => selected(item, new URLSearchParams({ fields: picked ?? '' })))
    return json(200, {
      kind: 'storage#objects',
      ...(next !== undefined && { nextPageToken: next }),
      ...(shown.length > 0 && { items: shown }),
    })
  }

  #delete(name: string): Answer {
    const kept = this.kept.get(name)
    if (kept !== undefined) return refusal(403, kept.reason, kept.message)
    if (this.retainsEverything && this.objects.has(name)) return refusal(403, 'retentionPolicyNotMet')
    if (!this.objects.delete(name)) return refusal(404, 'notFound', `${this.saysNotFound}${bucket}/${name}`)
    return { status: 204, headers: {}, body: Buffer.alloc(0) }
  }
}

/** An error as the JSON API has it. */
export function refusal(status: number, reason: string, message = 'text of the server'): Answer {
  return json(status, {
    error: { code: status, message, errors: [{ domain: 'global', reason, message }] },
  })
}

/** As media is refused: without JSON. */
function plain(status: number, text: string): Answer {
  return { status, headers: { 'content-type': 'text/html; charset=UTF-8' }, body: Buffer.from(text) }
}

function describe(
  name: string,
  { bytes, generation, created, resource }: Stored,
): Readonly<Record<string, unknown>> {
  return {
    kind: 'storage#object',
    id: `${bucket}/${name}/${generation}`,
    storageClass: 'STANDARD',
    ...resource,
    name,
    bucket,
    generation: String(generation),
    metageneration: '1',
    size: String(bytes.length),
    crc32c: checksum(bytes),
    md5Hash: createHash('md5').update(bytes).digest('base64'),
    timeCreated: created.toISOString(),
    updated: created.toISOString(),
  }
}

/** Only what was asked for. */
function selected(resource: Readonly<Record<string, unknown>>, query: URLSearchParams): unknown {
  const fields = (query.get('fields') ?? '').split(',').filter((field) => field !== '')
  if (fields.length === 0) return resource
  return Object.fromEntries(Object.entries(resource).filter(([name]) => fields.includes(name)))
}

function checksum(bytes: Buffer): string {
  const value = Buffer.alloc(4)
  value.writeUInt32BE(crc32c(bytes))
  return value.toString('base64')
}

/** The two parts of `multipart/related` (RFC 2387). */
function readUpload(
  contentType: string,
  body: Buffer,
): { readonly resource: Readonly<Record<string, unknown>>; readonly bytes: Buffer } {
  const [, boundary] = /^multipart\/related; boundary=(\S+)$/.exec(contentType) ?? []
  const line = Buffer.from(`--${boundary}`)
  const second = body.indexOf(line, line.length)
  const end = body.lastIndexOf(Buffer.from(`\r\n--${boundary}--`))
  const resource: unknown = JSON.parse(contentOf(body.subarray(0, second)).toString())
  return {
    resource: resource as Record<string, unknown>,
    bytes: contentOf(body.subarray(second, end)),
  }
}

function contentOf(part: Buffer): Buffer {
  return part.subarray(part.indexOf('\r\n\r\n') + 4)
}

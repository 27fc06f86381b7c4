import type { S3StoreOptions } from '../../../src/storage/s3/s3-options.ts'
import {
  ScriptedEndpoint,
  xml,
  type Answer,
  type Asked,
  type Fault,
  type Strike,
} from '../scripted-endpoint.ts'
import { signatureFault, type EndpointKeys } from './check-signature.ts'

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
  readonly objects = new Map<string, Stored>()
  readonly keys: EndpointKeys = { accessKeyId: 'KEY', secretAccessKey: 'secret-canary-1234' }
  /** How many keys one page of a listing has at most. */
  pageSize = 1000
  /** Whether requests must be signed: what they hold is hashed for that. */
  checksSignatures = true
  /** As stores do that do not know conditional writes. */
  ignoresConditions = false
  readonly #server: ScriptedEndpoint

  constructor(certificate?: string) {
    this.#server = new ScriptedEndpoint(
      {
        keyOf: (path) => path.split('/').slice(2).join('/'),
        refuse: (request, { body }) => {
          const fault = this.checksSignatures ? signatureFault(request, body, this.keys) : undefined
          return fault === undefined ? undefined : refusal(403, fault)
        },
        answer: (request, asked) => this.#decide(request.url?.split(/[/?]/)[1], asked),
        refusal,
      },
      certificate,
    )
  }

  static async start(certificate?: string): Promise<S3Endpoint> {
    const endpoint = new S3Endpoint(certificate)
    await endpoint.#server.listen()
    return endpoint
  }

  get url(): string {
    return this.#server.url
  }

  /** How long every answer takes at least. */
  set latencyMs(ms: number) {
    this.#server.latencyMs = ms
  }

  /** Whether requests are remembered: with their bodies, which may be many bytes. */
  set remembersRequests(isSo: boolean) {
    this.#server.remembersRequests = isSo
  }

  get requests(): readonly Asked[] {
    return this.#server.requests
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

  plan(fault: Fault, strike?: Strike): void {
    this.#server.plan(fault, strike)
  }

  put(key: string, bytes: Uint8Array, token = 'of somebody else'): void {
    this.objects.set(key, { bytes: Buffer.from(bytes), token, modified: new Date() })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
  }

  #decide(name: string | undefined, asked: Asked): Answer {
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
    const token = String(headers['x-amz-meta-holdfast-put'])
    this.objects.set(key, { bytes: body, token, modified: new Date() })
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
}

function refusal(status: number, code: string): Answer {
  return xml('Error', `<Code>${code}</Code><Message>text of the server</Message>`, status)
}

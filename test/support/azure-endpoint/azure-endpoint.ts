import type { IncomingMessage } from 'node:http'
import type { AzureStoreOptions } from '../../../src/storage/azure/azure-options.ts'
import {
  ScriptedEndpoint,
  xml,
  type Answer,
  type Asked,
  type Fault,
  type Strike,
} from '../scripted-endpoint.ts'
import { isSharedKeyRight } from './check-shared-key.ts'

interface Stored {
  readonly bytes: Buffer
  readonly token: string
  readonly modified: Date
}

const container = 'box'

/**
 * Azure Blob Storage as far as the store uses it, in memory, with faults by plan: for what no emulator does when it is asked to.
 */
export class AzureEndpoint implements AsyncDisposable {
  readonly objects = new Map<string, Stored>()
  readonly account = 'account'
  readonly accountKey = Buffer.from('key-canary-1234').toString('base64')
  /** A token of an identity, or the signature of a shared access signature, that is taken instead of the key. */
  readonly accepted = new Set<string>()
  /** How many keys one page of a listing has at most. */
  pageSize = 5000
  /** As stores do that do not know conditional writes. */
  ignoresConditions = false
  readonly #server: ScriptedEndpoint

  constructor(certificate?: string) {
    this.#server = new ScriptedEndpoint(
      {
        keyOf: (path) => path.split('/').slice(3).join('/'),
        refuse: (request, asked) =>
          this.#isProven(request, asked) ? undefined : refusal(403, 'AuthenticationFailed'),
        answer: (request, asked) => this.#decide(request.url?.split(/[/?]/)[2], asked),
        refusal,
      },
      certificate,
    )
  }

  static async start(certificate?: string): Promise<AzureEndpoint> {
    const endpoint = new AzureEndpoint(certificate)
    await endpoint.#server.listen()
    return endpoint
  }

  get url(): string {
    return this.#server.url
  }

  get requests(): readonly Asked[] {
    return this.#server.requests
  }

  get options(): AzureStoreOptions {
    return {
      account: this.account,
      endpoint: this.url,
      login: { kind: 'key', read: () => Promise.resolve(this.accountKey) },
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

  #isProven(request: IncomingMessage, { headers, query }: Asked): boolean {
    const lent = headers.authorization?.replace('Bearer ', '') ?? ''
    return (
      this.accepted.has(lent) || this.accepted.has(query.get('sig') ?? '') || isSharedKeyRight(request, this)
    )
  }

  #decide(name: string | undefined, asked: Asked): Answer {
    if (name !== container) return refusal(404, 'ContainerNotFound')
    switch (asked.method) {
      case 'PUT':
        return this.#store(asked)
      case 'DELETE':
        return this.#delete(asked)
      default:
        return asked.key === '' ? this.#list(asked) : this.#read(asked)
    }
  }

  #store({ key, headers, body }: Asked): Answer {
    const isConditional = headers['if-none-match'] === '*' && !this.ignoresConditions
    if (isConditional && this.objects.has(key)) return refusal(409, 'BlobAlreadyExists')
    this.put(key, body, String(headers['x-ms-meta-holdfast_put']))
    return { status: 201, headers: { etag: '"etag"' }, body: Buffer.alloc(0) }
  }

  #delete({ key }: Asked): Answer {
    if (!this.objects.delete(key)) return refusal(404, 'BlobNotFound')
    return { status: 202, headers: {}, body: Buffer.alloc(0) }
  }

  #read({ key, headers }: Asked): Answer {
    const found = this.objects.get(key)
    if (found === undefined) return refusal(404, 'BlobNotFound')
    const { bytes, token, modified } = found
    const described = {
      'last-modified': modified.toUTCString(),
      'x-ms-meta-holdfast_put': token,
      'x-ms-blob-type': 'BlockBlob',
      etag: '"etag"',
    }
    const asked = /^bytes=(\d+)-(\d+)$/.exec(String(headers['x-ms-range'] ?? headers.range))
    const [, first, last] = asked ?? []
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
    const after = query.get('marker') ?? ''
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).toSorted()
    const page = keys.slice(0, this.pageSize)
    const blobs = page.map((key) => {
      const { bytes, modified } = this.objects.get(key) ?? { bytes: Buffer.alloc(0), modified: new Date() }
      return `<Blob><Name>${key}</Name><Properties><Last-Modified>${modified.toUTCString()}</Last-Modified><Content-Length>${bytes.length}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>`
    })
    const next = page.length < keys.length ? page.at(-1) : ''
    const answer = xml(
      'EnumerationResults',
      `<Prefix>${prefix}</Prefix><Blobs>${blobs.join('')}</Blobs><NextMarker>${next}</NextMarker>`,
    )
    // Azure begins its listings with a byte order mark.
    return { ...answer, body: Buffer.concat([Buffer.from('\uFEFF'), answer.body]) }
  }
}

function refusal(status: number, code: string): Answer {
  const answer = xml('Error', `<Code>${code}</Code><Message>text of the server</Message>`, status)
  return { ...answer, headers: { ...answer.headers, 'x-ms-error-code': code } }
}

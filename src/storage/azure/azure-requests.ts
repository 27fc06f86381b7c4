import type * as Sdk from '@azure/storage-blob'
import type { Clock } from '../../domain/run-context.ts'
import { AnswerFault } from '../answer-fault.ts'
import type { StillThere } from '../delete-each.ts'
import type { ByteRange, ListedObject } from '../object-store.ts'
import type { Page } from '../list-objects.ts'
import { readBody } from '../read-body.ts'
import type { FoundObject, PutAnswer, ReadObject, StoreRequests } from '../request-store.ts'
import { readAnswer } from './azure-answer.ts'
import { containerUrl, type AzureLocation, type AzureStoreOptions } from './azure-options.ts'
import { openCredentials, type Credentials, type Validity } from './credentials.ts'
import { Transport } from './transport.ts'

/** What the store keeps beside the bytes of an object: by it a call knows again what it has stored itself. */
const tokenName = 'holdfast_put'

/**
 * One request each, without a retry: resolves with an answer that is whole, or rejects with the error of the SDK, of the
 * network, with `TokenFault` or `AnswerFault`. Absent objects and taken keys are answers.
 */
export class AzureRequests implements StoreRequests {
  readonly #container: Sdk.ContainerClient
  readonly #transport: Transport
  readonly #credentials: Credentials
  readonly #keyPrefix: string
  readonly #accessTier: AzureStoreOptions['accessTier']

  constructor(
    container: Sdk.ContainerClient,
    { transport, credentials }: { readonly transport: Transport; readonly credentials: Credentials },
    { keyPrefix, accessTier }: Pick<AzureLocation, 'keyPrefix'> & Pick<AzureStoreOptions, 'accessTier'>,
  ) {
    this.#container = container
    this.#transport = transport
    this.#credentials = credentials
    this.#keyPrefix = keyPrefix
    this.#accessTier = accessTier
  }

  get validity(): Validity {
    return this.#credentials.validity()
  }

  /** The whole object, or what it has of the range, which must not be empty. */
  async get(
    key: string,
    range: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<ReadObject | 'absent' | 'past-end'> {
    const blob = this.#blob(key)
    try {
      const answer = await understood(
        // No part of a body is asked for again by the SDK.
        blob.download(range?.offset, range?.length, { abortSignal: signal, maxRetryRequests: 0 }),
      )
      return await readPart(answer, range)
    } catch (error) {
      const { status, name } = readAnswer(error)
      if (isAbsence(status, name)) return 'absent'
      if (status === 416) return 'past-end'
      throw error
    }
  }

  /** Never overwrites. */
  async put(
    key: string,
    { bytes, token }: { readonly bytes: Uint8Array; readonly token: string },
    signal: AbortSignal,
  ): Promise<PutAnswer> {
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    try {
      const answer = await understood(
        this.#blob(key).upload(body, body.length, {
          abortSignal: signal,
          conditions: { ifNoneMatch: '*' },
          metadata: { [tokenName]: token },
          blobHTTPHeaders: { blobContentType: 'application/octet-stream' },
          ...(this.#accessTier !== undefined && { tier: tierNames[this.#accessTier] }),
        }),
      )
      if (answer.etag === undefined) {
        throw new AnswerFault('the store answered a write without saying what it has stored')
      }
      return 'created'
    } catch (error) {
      const { name } = readAnswer(error)
      if (isTaken(name)) return 'taken'
      if (name === missingRight) return { kind: 'refused', error }
      throw error
    }
  }

  /** Undefined: there is no such object. */
  async head(key: string, signal: AbortSignal): Promise<FoundObject | undefined> {
    try {
      const answer = await understood(this.#blob(key).getProperties({ abortSignal: signal }))
      checkKind(answer)
      return {
        sizeBytes: lengthOf(answer),
        modifiedAtMs: toModifiedAtMs(answer.lastModified),
        token: answer.metadata?.[tokenName],
      }
    } catch (error) {
      const { status, name } = readAnswer(error)
      if (isAbsence(status, name)) return undefined
      throw error
    }
  }

  async listPage(prefix: string, after: string | undefined, signal: AbortSignal): Promise<Page> {
    const asked = `${this.#keyPrefix}${prefix}`
    const pages = this.#container
      .listBlobsFlat({ prefix: asked, abortSignal: signal })
      .byPage({ maxPageSize: 5000, ...(after !== undefined && { continuationToken: after }) })
    const page = await understood(pages.next())
    if (page.done === true || (page.value.prefix ?? '') !== asked) {
      throw new AnswerFault('the store answered a listing with something else')
    }
    const { continuationToken: next, segment } = page.value
    const objects = segment.blobItems.map((item) => this.#toListed(item, asked))
    return { objects, next: next === '' ? undefined : next }
  }

  /** 'gone', also when there was none, or why the store keeps it. */
  async delete(key: string, signal: AbortSignal): Promise<'gone' | StillThere> {
    try {
      // Snapshots that others have made would keep it for ever.
      await understood(this.#blob(key).delete({ abortSignal: signal, deleteSnapshots: 'include' }))
      return 'gone'
    } catch (error) {
      const { status, name } = readAnswer(error)
      if (isAbsence(status, name)) return 'gone'
      if (isImmutable(name)) return { reason: 'retained', name, error }
      if (name === missingRight) return { reason: 'forbidden', name, error }
      throw error
    }
  }

  /**
   * The error for whoever looks for the cause: what the store said, less the secrets, which a store or what lies before it
   * may repeat. All of an SDK's error would hold the whole request.
   */
  withoutSecrets(error: unknown): unknown {
    const { status, name } = readAnswer(error)
    if (!(error instanceof Error) || (status === undefined && error.name !== 'RestError')) return error
    const text = this.#credentials
      .secrets()
      .filter((secret) => secret !== '')
      .reduce((told, secret) => told.replaceAll(secret, '***'), error.message)
    return new Error(`${name} (${status ?? 'no answer'}): ${text}`)
  }

  close(): void {
    this.#transport.close()
  }

  #blob(key: string): Sdk.BlockBlobClient {
    return this.#container.getBlockBlobClient(`${this.#keyPrefix}${key}`)
  }

  #toListed({ name, properties }: Sdk.BlobItem, asked: string): ListedObject {
    const sizeBytes = properties.contentLength
    if (!name.startsWith(asked) || sizeBytes === undefined) {
      throw new AnswerFault('the store listed something that was not asked for')
    }
    return {
      key: name.slice(this.#keyPrefix.length),
      sizeBytes,
      modifiedAtMs: toModifiedAtMs(properties.lastModified),
    }
  }
}

/** Loads the SDK, which takes a tenth of a second: nobody else pays for it. Asks nothing of the store yet. */
export async function openAzureRequests(
  location: AzureLocation,
  options: AzureStoreOptions,
  clock: Pick<Clock, 'now'>,
): Promise<AzureRequests> {
  const sdk = await import('@azure/storage-blob')
  const credentials = await openCredentials(options.login, clock, options.identityEndpoint)
  const transport = new Transport(options, credentials)
  const { account, accessTier } = options
  const signer =
    credentials.accountKey === undefined
      ? new sdk.AnonymousCredential()
      : new sdk.StorageSharedKeyCredential(account, credentials.accountKey)
  // Retries are ours: they know what a repeated write means.
  const pipeline = sdk.newPipeline(signer, { httpClient: transport, retryOptions: { maxTries: 1 } })
  const container = new sdk.ContainerClient(containerUrl(location, options), pipeline)
  const { keyPrefix } = location
  return new AzureRequests(container, { transport, credentials }, { keyPrefix, accessTier })
}

const tierNames = { hot: 'Hot', cool: 'Cool', cold: 'Cold' } as const

/** Who asks is known, and does not have the right for just this. */
const missingRight = 'AuthorizationPermissionMismatch'

/** Only this name says that the store was reached, has the container, and does not have the object. */
function isAbsence(status: number | undefined, name: string): boolean {
  return status === 404 && name === 'BlobNotFound'
}

function isImmutable(name: string): boolean {
  return name.startsWith('BlobImmutable')
}

/**
 * Which of these is told depends on what is in the way: the object itself, its retention, or a right to create only. None of them
 * would have been told of a free key.
 */
function isTaken(name: string): boolean {
  return (
    name === 'BlobAlreadyExists' ||
    name === 'ConditionNotMet' ||
    name === 'UnauthorizedBlobOverwrite' ||
    isImmutable(name)
  )
}

/** The SDK trips over answers that are not what they should be. */
async function understood<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (cause) {
    if (!(cause instanceof TypeError || cause instanceof RangeError)) throw cause
    throw new AnswerFault('the store answered with something that cannot be read', { cause })
  }
}

async function readPart(
  answer: Sdk.BlobDownloadResponseParsed,
  range: ByteRange | undefined,
): Promise<ReadObject> {
  const { readableStreamBody: body } = answer
  try {
    const sizeBytes = checkPart(answer, range)
    return { sizeBytes, bytes: await readBody(body, lengthOf(answer)) }
  } catch (cause) {
    // What is not read would keep its connection.
    if (body !== undefined && 'destroy' in body && typeof body.destroy === 'function') body.destroy()
    if (cause instanceof AnswerFault) throw cause
    // The SDK has no name of its own for a body that ends too early.
    throw new AnswerFault('the connection was lost while the store sent an object', { cause })
  }
}

/** How many bytes the object has, of which this is exactly the part that was asked for, or all of it that there is. */
function checkPart(answer: Sdk.BlobDownloadResponseParsed, range: ByteRange | undefined): number {
  checkKind(answer)
  if (answer.contentEncoding !== undefined) {
    throw new AnswerFault('an object was encoded on the way from the store')
  }
  const length = lengthOf(answer)
  if (range === undefined) {
    if (answer.contentRange === undefined) return length
    throw new AnswerFault('the store was asked for a whole object and answered with a part of it')
  }
  const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.contentRange ?? '') ?? []
  const end = Math.min(range.offset + range.length, Number(size))
  const isAsked = Number(first) === range.offset && Number(last) === end - 1
  if (isAsked && length === end - range.offset) return Number(size)
  throw new AnswerFault(
    `the store was asked for ${range.length} bytes from ${range.offset} on and answered with others`,
  )
}

/** What is no blob of ours is not taken for one: a portal on the way says "200" to everything. */
function checkKind({ blobType }: { readonly blobType?: string | undefined }): void {
  if (blobType === 'BlockBlob') return
  throw new AnswerFault('the store answered with something that is no block blob')
}

function lengthOf({ contentLength: length }: { readonly contentLength?: number | undefined }): number {
  if (length !== undefined && Number.isSafeInteger(length) && length >= 0) return length
  throw new AnswerFault('the store did not say how long its answer is')
}

function toModifiedAtMs(modified: Date | undefined): number {
  const time = modified?.getTime()
  if (time !== undefined && Number.isFinite(time)) return time
  throw new AnswerFault('the store did not say when an object was stored')
}

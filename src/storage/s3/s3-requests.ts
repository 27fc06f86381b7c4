import { createHash } from 'node:crypto'
import type { Agent } from 'node:https'
import type * as Sdk from '@aws-sdk/client-s3'
import type { Clock } from '../../domain/run-context.ts'
import { AnswerFault } from '../answer-fault.ts'
import type { Page } from '../list-objects.ts'
import { readBody } from '../read-body.ts'
import type { FoundObject, ReadObject } from '../request-store.ts'
import type { Retention } from '../object-store.ts'
import { nameOf, statusOf } from './s3-failure.ts'
import type { S3Location, S3StoreOptions } from './s3-options.ts'

/** What the store keeps beside the bytes of an object: by it a call knows again what it has stored itself. */
const tokenName = 'holdfast-put'

/** What a request is made with, and of which bucket. */
export interface S3Connection extends S3Location {
  readonly sdk: typeof Sdk
  readonly client: Sdk.S3Client
}

/** Until when an object can neither be deleted nor changed. */
export interface ObjectLock {
  readonly mode: Retention['mode']
  readonly untilMs: number
}

interface Part {
  readonly range?: { readonly offset: number; readonly length: number } | undefined
  readonly versionId?: string
}

interface PutObject {
  readonly bytes: Uint8Array
  readonly token: string
  readonly lock: ObjectLock | undefined
}

/** What a store answers to a deletion. */
export interface Deletion {
  /** Still there. */
  readonly kept: readonly KeptKey[]
  /** Gone, and kept as versions. */
  readonly versions: readonly string[]
}

/** Why a key of a deletion is still there: the store's name for the error. */
export interface KeptKey {
  readonly key: string
  readonly reason: string
}

const connectTimeoutMs = 10_000

const lockModes = { governance: 'GOVERNANCE', compliance: 'COMPLIANCE' } as const

/**
 * One request each, without a retry: resolves with an answer that is whole, or rejects with the error of the SDK, of the
 * network, or with `AnswerFault`. Absent objects and taken keys are answers.
 */
export class S3Requests {
  /** For the requests that have files of their own. */
  readonly connection: S3Connection
  readonly #sdk: typeof Sdk
  readonly #client: Sdk.S3Client
  readonly #location: S3Location
  readonly #options: S3StoreOptions

  constructor(
    sdk: typeof Sdk,
    client: Sdk.S3Client,
    { location, options }: { location: S3Location; options: S3StoreOptions },
  ) {
    this.connection = { sdk, client, bucket: location.bucket, keyPrefix: location.keyPrefix }
    this.#sdk = sdk
    this.#client = client
    this.#location = location
    this.#options = options
  }

  /** The whole object, or what it has of the range, which must not be empty; of one of its versions, if that is named. */
  async get(
    key: string,
    { range, versionId }: Part,
    signal: AbortSignal,
  ): Promise<ReadObject | 'absent' | 'past-end'> {
    const asked = range && `bytes=${range.offset}-${range.offset + range.length - 1}`
    try {
      const answer = await this.#client.send(
        new this.#sdk.GetObjectCommand({ ...this.#place(key), Range: asked, VersionId: versionId }),
        { abortSignal: signal },
      )
      const sizeBytes = checkPart(answer, range)
      return { sizeBytes, bytes: await readBody(answer.Body, lengthOf(answer)) }
    } catch (error) {
      if (nameOf(error) === 'NoSuchKey' || nameOf(error) === 'NoSuchVersion') return 'absent'
      if (statusOf(error) === 416) return 'past-end'
      throw error
    }
  }

  /** 'taken': there is an object under the key. */
  async put(
    key: string,
    { bytes, token, lock }: PutObject,
    signal: AbortSignal,
  ): Promise<'created' | 'taken'> {
    const { serverSideEncryption, kmsKeyId, storageClass } = this.#options
    try {
      const answer = await this.#client.send(
        new this.#sdk.PutObjectCommand({
          ...this.#place(key),
          Body: bytes,
          ...(lock !== undefined && this.#lockHeaders(bytes, lock)),
          ContentLength: bytes.length,
          ContentType: 'application/octet-stream',
          IfNoneMatch: '*',
          Metadata: { [tokenName]: token },
          ServerSideEncryption: serverSideEncryption,
          SSEKMSKeyId: kmsKeyId,
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- stores other than AWS have classes of their own
          StorageClass: storageClass as Sdk.StorageClass | undefined,
        }),
        { abortSignal: signal },
      )
      if (answer.ETag === undefined) {
        throw new AnswerFault('the store answered a write without saying what it has stored')
      }
      return 'created'
    } catch (error) {
      if (statusOf(error) === 412) return 'taken'
      throw error
    }
  }

  /**
   * Undefined: there is no such object. The answer to HEAD has no body, so it does not tell why there is none: that is
   * asked for by a read of one byte.
   */
  async head(key: string, signal: AbortSignal): Promise<FoundObject | undefined> {
    try {
      const answer = await this.#client.send(new this.#sdk.HeadObjectCommand(this.#place(key)), {
        abortSignal: signal,
      })
      return attributesOf(answer)
    } catch (error) {
      const status = statusOf(error)
      if (status === undefined || status < 300 || status > 499) throw error
      const answer = await this.get(key, { range: { offset: 0, length: 1 } }, signal)
      if (answer === 'absent') return undefined
      throw new AnswerFault('the store answered about an object as if there were none, and then sent it', {
        cause: error,
      })
    }
  }

  async listPage(
    prefix: string,
    { after, limit = 1000 }: { readonly after: string | undefined; readonly limit?: number },
    signal: AbortSignal,
  ): Promise<Page> {
    const { bucket, keyPrefix } = this.#location
    const asked = `${keyPrefix}${prefix}`
    const answer = await this.#client.send(
      new this.#sdk.ListObjectsV2Command({
        Bucket: bucket,
        Prefix: asked,
        MaxKeys: limit,
        ContinuationToken: after,
      }),
      { abortSignal: signal },
    )
    return toPage(answer, asked, keyPrefix)
  }

  /** Locks an object that is there. The store refuses to shorten a lock: 403. */
  async lock(key: string, { mode, untilMs }: ObjectLock, signal: AbortSignal): Promise<void> {
    const Retention = { Mode: lockModes[mode], RetainUntilDate: new Date(untilMs) }
    const command = new this.#sdk.PutObjectRetentionCommand({ ...this.#place(key), Retention })
    await this.#client.send(command, { abortSignal: signal })
  }

  /** Deletes up to 1000 objects. */
  async delete(keys: readonly string[], signal: AbortSignal): Promise<Deletion> {
    const { bucket, keyPrefix } = this.#location
    const command = new this.#sdk.DeleteObjectsCommand({
      Bucket: bucket,
      // Not quiet: what is not named in the answer was not deleted, whatever its status is.
      Delete: { Quiet: false, Objects: keys.map((key) => ({ Key: `${keyPrefix}${key}` })) },
    })
    try {
      const answer = await this.#client.send(command, { abortSignal: signal })
      return toDeletion(keys, keyPrefix, answer)
    } catch (error) {
      // Some stores refuse each key, others the whole request.
      if (nameOf(error) !== 'AccessDenied') throw error
      return { kept: keys.map((key) => ({ key, reason: 'AccessDenied' })), versions: [] }
    }
  }

  /**
   * The error for whoever looks for the cause: what the store said, less the secrets, which a store or what lies before it
   * may repeat. All of an SDK's error would hold the whole request.
   */
  async withoutSecrets(error: unknown): Promise<unknown> {
    const status = statusOf(error)
    if (status === undefined || !(error instanceof Error)) return error
    const title = `${nameOf(error)} (${status})`
    try {
      const { secretAccessKey, sessionToken = secretAccessKey } = await this.#client.config.credentials()
      const text = error.message.replaceAll(secretAccessKey, '***').replaceAll(sessionToken, '***')
      return new Error(`${title}: ${text}`)
    } catch {
      // Without the keys nothing can be taken out.
      return new Error(title)
    }
  }

  close(): void {
    this.#client.destroy()
  }

  /** S3 takes a lock only with a digest of the bytes. Where the SDK sends no checksum, it is the one that every store knows. */
  #lockHeaders(bytes: Uint8Array, { mode, untilMs }: ObjectLock): Partial<Sdk.PutObjectCommandInput> {
    return {
      ObjectLockMode: lockModes[mode],
      ObjectLockRetainUntilDate: new Date(untilMs),
      ...(!hasChecksums(this.#options) && { ContentMD5: createHash('md5').update(bytes).digest('base64') }),
    }
  }

  #place(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#location.bucket, Key: `${this.#location.keyPrefix}${key}` }
  }
}

/** Loads the SDK, which takes a tenth of a second: nobody else pays for it. Asks nothing of the store yet. */
export async function openS3Requests(
  location: S3Location,
  options: S3StoreOptions,
  clock: Pick<Clock, 'now'>,
): Promise<S3Requests> {
  const [sdk, https, tls] = await Promise.all([
    import('@aws-sdk/client-s3'),
    import('node:https'),
    import('node:tls'),
  ])
  const agent = new https.Agent({
    keepAlive: true,
    maxSockets: options.maxRequests,
    minVersion: 'TLSv1.2',
    // Whatever the environment says.
    rejectUnauthorized: true,
    ...(options.caCertificates === undefined
      ? {}
      : { ca: [...tls.getCACertificates('default'), options.caCertificates] }),
  })
  const client = new sdk.S3Client(clientConfiguration(options, agent, clock))
  askForPlainBytes(client)
  return new S3Requests(sdk, client, { location, options })
}

const hasChecksums = ({ hasChecksums: wanted, endpoint }: S3StoreOptions): boolean =>
  wanted ?? endpoint === undefined

/** How long keys with a session token are used before they are read again: whoever lends them renews the files. */
const tokenLifeMs = 15 * 60_000

function clientConfiguration(
  options: S3StoreOptions,
  agent: Agent,
  clock: Pick<Clock, 'now'>,
): Sdk.S3ClientConfig {
  const { endpoint, region, profile, readCredentials, isPathStyle, maxRequests } = options
  const checksums = hasChecksums(options) ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED'
  return {
    region,
    forcePathStyle: isPathStyle ?? endpoint !== undefined,
    requestChecksumCalculation: checksums,
    responseChecksumValidation: checksums,
    // Retries are ours: they know what a repeated write means.
    maxAttempts: 1,
    requestHandler: {
      httpsAgent: agent,
      httpAgent: { keepAlive: true, maxSockets: maxRequests },
      connectionTimeout: connectTimeoutMs,
      socketTimeout: options.idleTimeoutMs,
    },
    ...(endpoint !== undefined && { endpoint }),
    ...(profile !== undefined && { profile }),
    ...(readCredentials !== undefined && {
      credentials: async () => {
        const credentials = await readCredentials()
        if (credentials.sessionToken === undefined) return credentials
        return { ...credentials, expiration: new Date(clock.now() + tokenLifeMs) }
      },
    }),
  }
}

/** After the signature: what lies between may change this header, and a signed one would then be refused. */
function askForPlainBytes(client: Sdk.S3Client): void {
  client.middlewareStack.add(
    (next) => (args) => {
      const { request } = args
      const headers: unknown =
        typeof request === 'object' && request !== null && Reflect.get(request, 'headers')
      if (typeof headers === 'object' && headers !== null) Reflect.set(headers, 'accept-encoding', 'identity')
      return next(args)
    },
    { step: 'finalizeRequest', priority: 'low', name: 'askForPlainBytes' },
  )
}

/** How many bytes the object has, of which this is exactly the part that was asked for, or all of it that there is. */
function checkPart(
  answer: Sdk.GetObjectCommandOutput,
  range: { readonly offset: number; readonly length: number } | undefined,
): number {
  const length = lengthOf(answer)
  if (range === undefined) {
    if (answer.ContentRange === undefined) return length
    throw new AnswerFault('the store was asked for a whole object and answered with a part of it')
  }
  const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.ContentRange ?? '') ?? []
  const end = Math.min(range.offset + range.length, Number(size))
  const isAsked = Number(first) === range.offset && Number(last) === end - 1
  if (isAsked && length === end - range.offset) return Number(size)
  throw new AnswerFault(
    `the store was asked for ${range.length} bytes from ${range.offset} on and answered with others`,
  )
}

function lengthOf({ ContentLength: length }: { readonly ContentLength?: number | undefined }): number {
  if (length !== undefined && Number.isSafeInteger(length) && length >= 0) return length
  throw new AnswerFault('the store did not say how long its answer is')
}

function toDeletion(
  keys: readonly string[],
  keyPrefix: string,
  { Deleted: deleted = [], Errors: errors = [] }: Sdk.DeleteObjectsCommandOutput,
): Deletion {
  const gone = new Map(deleted.map(({ Key, DeleteMarker: isMarked }) => [Key, isMarked === true]))
  const reasons = new Map(errors.map(({ Key, Code }) => [Key, Code]))
  const kept = keys.flatMap((key) => {
    const reason = reasons.get(`${keyPrefix}${key}`)
    if (reason === 'NoSuchKey' || (reason === undefined && gone.has(`${keyPrefix}${key}`))) return []
    return [{ key, reason: reason ?? 'not named in the answer' }]
  })
  return { kept, versions: keys.filter((key) => gone.get(`${keyPrefix}${key}`) === true) }
}

function attributesOf(answer: Sdk.HeadObjectCommandOutput): FoundObject {
  const { LastModified: modified, Metadata: metadata } = answer
  return {
    sizeBytes: lengthOf(answer),
    modifiedAtMs: toModifiedAtMs(modified),
    token: metadata?.[tokenName],
  }
}

/** Listings know milliseconds and other answers do not: whole seconds are what all agree on. */
function toModifiedAtMs(modified: Date | undefined): number {
  const time = modified?.getTime()
  if (time !== undefined && Number.isFinite(time)) return Math.floor(time / 1000) * 1000
  throw new AnswerFault('the store did not say when an object was stored')
}

function toPage(answer: Sdk.ListObjectsV2CommandOutput, asked: string, keyPrefix: string): Page {
  const { IsTruncated: isTruncated, NextContinuationToken: next, Contents: contents = [] } = answer
  if (isTruncated === undefined || (answer.Prefix ?? '') !== asked) {
    throw new AnswerFault('the store answered a listing with something else')
  }
  if (isTruncated && (next === undefined || next === '')) {
    throw new AnswerFault('the store cut a listing without saying where it goes on')
  }
  const objects = contents.map(({ Key: key, Size: sizeBytes, LastModified: modified }) => {
    if (key === undefined || !key.startsWith(asked) || sizeBytes === undefined) {
      throw new AnswerFault('the store listed something that was not asked for')
    }
    return { key: key.slice(keyPrefix.length), sizeBytes, modifiedAtMs: toModifiedAtMs(modified) }
  })
  return { objects, next: isTruncated ? next : undefined }
}

import assert from 'node:assert/strict'
import { OperationError } from '../../domain/operation-error.ts'
import type { RunContext } from '../../domain/run-context.ts'
import { freshName } from '../../platform/random.ts'
import { resolveRange } from '../byte-range.ts'
import { callWithRetry, usualRetryPolicy, type Retrying, type RetryPolicy } from '../call-with-retry.ts'
import { assertKeyPrefix, assertObjectKey } from '../object-key.ts'
import {
  maxObjectSizeBytes,
  type ByteRange,
  type DeleteOptions,
  type ListedObject,
  type ObjectAttributes,
  type ObjectStore,
  type PutOptions,
  type Retention,
  type StoreCallOptions,
  type StoreProtection,
} from '../object-store.ts'
import { RequestSlots } from '../request-slots.ts'
import { AnswerFault } from '../answer-fault.ts'
import { listObjects } from '../list-objects.ts'
import { readBucketProtection } from './bucket-protection.ts'
import { judgeFailure, withoutLock } from './s3-failure.ts'
import { formatS3Location, type S3Location, type S3StoreOptions } from './s3-options.ts'
import { openS3Requests, type KeptKey, type ObjectLock, type S3Requests } from './s3-requests.ts'

/** Without `report` nobody is told that a call takes long. */
export type S3StoreContext = Pick<RunContext, 'clock'> &
  Partial<Pick<RunContext, 'report' | 'signal'>> & { readonly policy?: Partial<RetryPolicy> }

/** Of what is being sent and received, all requests together. */
const mostBytesUnderWay = 4 * maxObjectSizeBytes
const dayMs = 24 * 60 * 60 * 1000
/** What the store deletes with one request at most. */
const keysPerDeletion = 1000

/**
 * Opens the store in a bucket. Asks nothing of it yet: the first call says whether it can be reached. `policy` is for
 * tests, which have less patience.
 */
export async function openS3Store(
  location: S3Location,
  options: S3StoreOptions,
  context: S3StoreContext,
): Promise<S3Store> {
  const { requests, retrying } = await openS3Parts(location, options, context)
  return new S3Store(location, requests, { retention: options.retention, retrying })
}

/** What every store in a bucket works with. */
export async function openS3Parts(
  location: S3Location,
  options: S3StoreOptions,
  { clock, report, policy = {} }: S3StoreContext,
): Promise<{ readonly requests: S3Requests; readonly retrying: Retrying }> {
  const { region, endpoint, retention, callTimeoutMs, maxRequests } = options
  const { bucket } = location
  const requests = await openS3Requests(location, options, clock)
  return {
    requests,
    retrying: {
      clock,
      policy: { ...usualRetryPolicy, callTimeoutMs, ...policy },
      slots: new RequestSlots({ requests: maxRequests, bytes: mostBytesUnderWay }),
      judge: (error) =>
        judgeFailure(error, {
          bucket,
          region,
          endpoint,
          isLocking: retention !== undefined,
          nowMs: clock.now(),
        }),
      causeOf: (error) => requests.withoutSecrets(error),
      warn: (message, hint) => report?.({ kind: 'warning', message, hint }),
      timeoutSetting: 's3.call-timeout',
      hasAnswered: false,
      warnedAtMs: -Infinity,
    },
  }
}

/** Opens the store in a bucket that is there, and can be listed; a bucket is never made. */
export async function createS3Store(
  location: S3Location,
  options: S3StoreOptions,
  context: S3StoreContext,
): Promise<ObjectStore> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(await openS3Store(location, options, context))
  for await (const _ of store.list('', context)) break
  if (options.retention !== undefined && (await store.protection(context)).canLock === false) {
    const { found, hint } = withoutLock(location)
    throw new OperationError('store-failed', `opening "${store.location}": ${found}`, { hint })
  }
  opened.move()
  return store
}

/** Keys are keys of the bucket, below the prefix. */
export class S3Store implements ObjectStore {
  readonly location: string
  readonly retention: Retention | undefined
  readonly #requests: S3Requests
  readonly #retrying: Retrying

  /** Use `openS3Store`. */
  constructor(
    location: S3Location,
    requests: S3Requests,
    { retention, retrying }: { readonly retention: Retention | undefined; readonly retrying: Retrying },
  ) {
    this.location = formatS3Location(location)
    this.retention = retention
    this.#requests = requests
    this.#retrying = retrying
  }

  async get(
    key: string,
    range?: ByteRange,
    { signal }: StoreCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    assertObjectKey(key)
    const what = this.#nameOf(key)
    // A range of nothing cannot be asked for.
    if (range?.length === 0) return this.#getNothing(key, range, signal)
    const found = await this.#call({
      doing: `reading ${what}`,
      bytes: range?.length ?? maxObjectSizeBytes,
      signal,
      attempt: async (attemptSignal) => {
        const answer = await this.#requests.get(key, { range }, attemptSignal)
        if (answer === 'absent') return undefined
        if (answer !== 'past-end') return answer
        const head = await this.#requests.head(key, attemptSignal)
        if (head === undefined) return undefined
        resolveRange(range, head.sizeBytes, what)
        throw new AnswerFault('the store does not have a part of an object that it has')
      },
    })
    if (found === undefined) return undefined
    resolveRange(range, found.sizeBytes, what)
    return found.bytes
  }

  /**
   * Every call stores a token of its own beside the bytes. When the key is taken, also by an attempt of which only the
   * answer was lost, the token tells whose object it is: of two callers with the same bytes one is told 'created'.
   */
  async putIfAbsent(
    key: string,
    bytes: Uint8Array,
    { signal, isShortLived = false }: PutOptions = {},
  ): Promise<'created' | 'exists'> {
    assertObjectKey(key)
    assert.ok(bytes.length <= maxObjectSizeBytes, `object "${key}" has ${bytes.length} bytes`)
    const token = freshName()
    let attempts = 0
    return this.#call({
      doing: `storing ${this.#nameOf(key)}`,
      bytes: bytes.length,
      signal,
      attempt: async (attemptSignal) => {
        attempts += 1
        const lock = isShortLived ? undefined : this.#lockFromNow()
        const answer = await this.#requests.put(key, { bytes, token, lock }, attemptSignal)
        if (answer === 'created') return 'created'
        const found = await this.#requests.head(key, attemptSignal)
        if (found === undefined) throw new AnswerFault('the key was taken, and is free again')
        if (found.token === undefined && attempts > 1) throw this.#withoutToken(key)
        return found.token === token ? 'created' : 'exists'
      },
    })
  }

  async *list(prefix: string, { signal }: StoreCallOptions = {}): AsyncGenerator<ListedObject> {
    assertKeyPrefix(prefix)
    signal?.throwIfAborted()
    const doing = `listing "${prefix}" of "${this.location}"`
    const askPage = (after: string | undefined): ReturnType<S3Requests['listPage']> =>
      this.#call({
        doing,
        bytes: 0,
        signal,
        attempt: (attemptSignal) => this.#requests.listPage(prefix, { after }, attemptSignal),
      })
    try {
      for await (const object of listObjects(askPage)) {
        signal?.throwIfAborted()
        yield object
      }
    } catch (error) {
      if (!(error instanceof AnswerFault)) throw error
      throw new OperationError('store-failed', `${doing}: ${error.message}`, {
        cause: error,
        hint: 'Use a store that lists in the order of the keys; docs/s3.md says what a store needs.',
      })
    }
  }

  async delete(keys: readonly string[], options: DeleteOptions = {}): Promise<void> {
    keys.forEach(assertObjectKey)
    options.signal?.throwIfAborted()
    const distinct = [...new Set(keys)]
    for (let start = 0; start < distinct.length; start += keysPerDeletion) {
      await this.#deleteBatch(distinct.slice(start, start + keysPerDeletion), options)
    }
  }

  async head(key: string, { signal }: StoreCallOptions = {}): Promise<ObjectAttributes | undefined> {
    assertObjectKey(key)
    const found = await this.#call({
      doing: `looking for ${this.#nameOf(key)}`,
      bytes: 0,
      signal,
      attempt: (attemptSignal) => this.#requests.head(key, attemptSignal),
    })
    return found && { sizeBytes: found.sizeBytes, modifiedAtMs: found.modifiedAtMs }
  }

  /** Asked anew at each call: a bucket may be told to keep versions at any time. */
  protection({ signal }: StoreCallOptions = {}): Promise<StoreProtection> {
    return this.#call({
      doing: `asking what protects "${this.location}"`,
      bytes: 0,
      signal,
      attempt: (attemptSignal) => readBucketProtection(this.#requests.connection, attemptSignal),
    })
  }

  async renewRetention(keys: readonly string[], { signal }: StoreCallOptions = {}): Promise<void> {
    keys.forEach(assertObjectKey)
    const lock = this.#lockFromNow()
    if (lock === undefined) return
    for (const key of keys) {
      await this.#call({
        doing: `locking ${this.#nameOf(key)}`,
        bytes: 0,
        signal,
        attempt: (attemptSignal) => this.#requests.lock(key, lock, attemptSignal),
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#requests.close()
  }

  #lockFromNow(): ObjectLock | undefined {
    if (this.retention === undefined) return undefined
    const { mode, days } = this.retention
    return { mode, untilMs: this.#retrying.clock.now() + days * dayMs }
  }

  async #getNothing(
    key: string,
    range: ByteRange,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const found = await this.head(key, { signal })
    if (found === undefined) return undefined
    resolveRange(range, found.sizeBytes, this.#nameOf(key))
    return new Uint8Array(0)
  }

  #deleteBatch(keys: readonly string[], { signal, onKept }: DeleteOptions): Promise<void> {
    let left = keys
    return this.#call({
      doing: `deleting ${keys.length === 1 ? this.#nameOf(keys[0] ?? '') : `${keys.length} objects of "${this.location}"`}`,
      bytes: 0,
      signal,
      attempt: async (attemptSignal) => {
        const { kept, versions } = await this.#requests.delete(left, attemptSignal)
        for (const key of versions) onKept?.({ key, reason: 'version' })
        const still = onKept === undefined ? kept : kept.filter((one) => !isForbidden(one))
        for (const { key } of kept.filter(isForbidden)) onKept?.({ key, reason: 'forbidden' })
        left = still.map(({ key }) => key)
        const [first] = still
        if (first !== undefined) throw this.#keptFault(first, still.length)
      },
    })
  }

  /** What the store does not want to delete now, or ever. */
  #keptFault({ key, reason }: KeptKey, count: number): Error {
    const what = `${count} of the objects are still there, the first is "${key}"`
    if (reason !== 'AccessDenied') return new AnswerFault(`${what} (${reason})`)
    return new OperationError(
      'store-failed',
      `deleting objects of "${this.location}": ${what}: the store does not allow it (AccessDenied)`,
      {
        hint: 'Allow the deletion (docs/s3.md), or wait until the retention of the objects ends.',
      },
    )
  }

  /** It may be ours or somebody else's: the one answer would be as wrong as the other. */
  #withoutToken(key: string): OperationError {
    return new OperationError(
      'store-failed',
      `storing ${this.#nameOf(key)}: expected the metadata that it was stored with, found none`,
      { hint: 'Run the command again; a store that does not keep metadata is not fit (docs/s3.md).' },
    )
  }

  #nameOf(key: string): string {
    return `object "${key}" of "${this.location}"`
  }

  #call<T>(call: Parameters<typeof callWithRetry<T>>[0]): Promise<T> {
    return callWithRetry(call, this.#retrying)
  }
}

const isForbidden = ({ reason }: KeptKey): boolean => reason === 'AccessDenied'

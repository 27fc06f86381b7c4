import assert from 'node:assert/strict'
import { OperationError } from '../../domain/operation-error.ts'
import type { RunContext } from '../../domain/run-context.ts'
import { freshName } from '../../platform/random.ts'
import { AnswerFault } from '../answer-fault.ts'
import { resolveRange } from '../byte-range.ts'
import { callWithRetry, usualRetryPolicy, type Retrying, type RetryPolicy } from '../call-with-retry.ts'
import { deleteEach } from '../delete-each.ts'
import { listObjects } from '../list-objects.ts'
import { assertKeyPrefix, assertObjectKey } from '../object-key.ts'
import {
  maxObjectSizeBytes,
  type ByteRange,
  type DeleteOptions,
  type ListedObject,
  type ObjectAttributes,
  type ObjectStore,
  type StoreCallOptions,
} from '../object-store.ts'
import { RequestSlots } from '../request-slots.ts'
import { judgeFailure } from './gcs-failure.ts'
import { formatGcsLocation, type GcsLocation, type GcsStoreOptions } from './gcs-options.ts'
import { GcsRequests } from './gcs-requests.ts'
import { keptFault } from './kept-fault.ts'

/** Without `report` nobody is told that a call takes long. */
type StoreContext = Pick<RunContext, 'clock'> & Partial<Pick<RunContext, 'report'>>

/** Of what is being sent and received, all requests together. */
const mostBytesUnderWay = 4 * maxObjectSizeBytes

/**
 * Opens the store in a bucket. Asks nothing of it yet: the first call says whether it can be reached. `policy` is for
 * tests, which have less patience.
 */
export function openGcsStore(
  location: GcsLocation,
  options: GcsStoreOptions,
  { clock, report, policy = {} }: StoreContext & { readonly policy?: Partial<RetryPolicy> },
): ObjectStore {
  const { endpoint, callTimeoutMs, maxRequests } = options
  const requests = new GcsRequests(location, options, clock)
  return new GcsStore(location, requests, {
    clock,
    policy: { ...usualRetryPolicy, callTimeoutMs, ...policy },
    slots: new RequestSlots({ requests: maxRequests, bytes: mostBytesUnderWay }),
    judge: (error) => judgeFailure(error, { bucket: location.bucket, endpoint, nowMs: clock.now() }),
    causeOf: (error) => requests.withoutSecrets(error),
    warn: (message, hint) => report?.({ kind: 'warning', message, hint }),
    timeoutSetting: 'gcs.call-timeout',
    hasAnswered: false,
    warnedAtMs: -Infinity,
  })
}

/** Opens the store in a bucket that is there, and can be listed; a bucket is never made. */
export async function createGcsStore(
  location: GcsLocation,
  options: GcsStoreOptions,
  context: StoreContext & Pick<RunContext, 'signal'>,
): Promise<ObjectStore> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(openGcsStore(location, options, context))
  for await (const _ of store.list('', context)) break
  opened.move()
  return store
}

/** Keys are names of objects, below the prefix. */
class GcsStore implements ObjectStore {
  readonly location: string
  readonly #requests: GcsRequests
  readonly #retrying: Retrying

  constructor(location: GcsLocation, requests: GcsRequests, retrying: Retrying) {
    this.location = formatGcsLocation(location)
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
        const answer = await this.#requests.get(key, range, attemptSignal)
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
    { signal }: StoreCallOptions = {},
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
        if ((await this.#requests.put(key, { bytes, token }, attemptSignal)) === 'created') return 'created'
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
    const askPage = (after: string | undefined): ReturnType<GcsRequests['listPage']> =>
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
        hint: 'Use a store that lists in the order of the keys; docs/gcs.md says what a store needs.',
      })
    }
  }

  async delete(keys: readonly string[], { signal, onKept }: DeleteOptions = {}): Promise<void> {
    keys.forEach(assertObjectKey)
    signal?.throwIfAborted()
    await deleteEach(keys, {
      most: this.#retrying.slots.allowedRequests,
      signal,
      onKept,
      deleteOne: (key, bothSignals) =>
        this.#call({
          doing: `deleting ${this.#nameOf(key)}`,
          bytes: 0,
          signal: bothSignals,
          attempt: async (attemptSignal) => {
            const outcome = await this.#requests.delete(key, attemptSignal)
            if (outcome === 'gone' || outcome.reason === 'retained' || onKept !== undefined) return outcome
            throw outcome.error
          },
        }),
      faultOf: (first, count) => keptFault(this.location, first, count),
    })
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#requests.close()
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

  /** It may be ours or somebody else's: the one answer would be as wrong as the other. */
  #withoutToken(key: string): OperationError {
    return new OperationError(
      'store-failed',
      `storing ${this.#nameOf(key)}: expected the metadata that it was stored with, found none`,
      { hint: 'Run the command again; a store that does not keep metadata is not fit (docs/gcs.md).' },
    )
  }

  #nameOf(key: string): string {
    return `object "${key}" of "${this.location}"`
  }

  #call<T>(call: Parameters<typeof callWithRetry<T>>[0]): Promise<T> {
    return callWithRetry(call, this.#retrying)
  }
}

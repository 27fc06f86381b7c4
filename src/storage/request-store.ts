import assert from 'node:assert/strict'
import { OperationError } from '../domain/operation-error.ts'
import { freshName } from '../platform/random.ts'
import { AnswerFault } from './answer-fault.ts'
import { resolveRange } from './byte-range.ts'
import { callWithRetry, type Retrying } from './call-with-retry.ts'
import { listObjects, type Page } from './list-objects.ts'
import { assertKeyPrefix, assertObjectKey } from './object-key.ts'
import {
  maxObjectSizeBytes,
  type ByteRange,
  type DeleteOptions,
  type ListedObject,
  type ObjectAttributes,
  type ObjectStore,
  type PutOptions,
  type StoreCallOptions,
} from './object-store.ts'

/** Of what is being sent and received, all requests of a store together. */
export const mostBytesUnderWay = 4 * maxObjectSizeBytes

export interface FoundObject {
  readonly sizeBytes: number
  readonly modifiedAtMs: number
  /** Of the call that stored it; undefined when it was stored by something else. */
  readonly token: string | undefined
}

export interface ReadObject {
  /** How many bytes the whole object has. */
  readonly sizeBytes: number
  readonly bytes: Uint8Array<ArrayBuffer>
}

interface PutObject {
  readonly bytes: Uint8Array
  /** To be kept beside the bytes. */
  readonly token: string
  readonly isShortLived: boolean
}

/** Whoever may create objects, and not overwrite any, is told this of a key that is taken, too. */
interface Refused {
  readonly kind: 'refused'
  readonly error: unknown
}

export type PutAnswer = 'created' | 'taken' | Refused

/**
 * What a store far away is asked for: one request each, without a retry. Resolves with an answer that is whole, or rejects with
 * what `Retrying.judge` understands. Absent objects and taken keys are answers.
 */
export interface StoreRequests {
  get(
    key: string,
    range: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<ReadObject | 'absent' | 'past-end'>
  put(key: string, object: PutObject, signal: AbortSignal): Promise<PutAnswer>
  head(key: string, signal: AbortSignal): Promise<FoundObject | undefined>
  listPage(prefix: string, after: string | undefined, signal: AbortSignal): Promise<Page>
  close(): void
}

interface Words {
  /** The guide of this kind of store: `docs/s3.md`. */
  readonly guide: string
  /** What to do when it does not list in the order of the keys, without a full stop. */
  readonly orderHint: string
}

/** A store of whole objects that is asked by requests. How it deletes is its own. */
export abstract class RequestStore implements ObjectStore {
  readonly location: string
  protected readonly retrying: Retrying
  readonly #requests: StoreRequests
  readonly #words: Words

  constructor(
    location: string,
    requests: StoreRequests,
    { retrying, words }: { readonly retrying: Retrying; readonly words: Words },
  ) {
    this.location = location
    this.retrying = retrying
    this.#requests = requests
    this.#words = words
  }

  abstract delete(keys: readonly string[], options?: DeleteOptions): Promise<void>

  async get(
    key: string,
    range?: ByteRange,
    { signal }: StoreCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    assertObjectKey(key)
    const what = this.nameOf(key)
    // A range of nothing cannot be asked for.
    if (range?.length === 0) return this.#getNothing(key, range, signal)
    const found = await this.call({
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
    { signal, isShortLived = false }: PutOptions = {},
  ): Promise<'created' | 'exists'> {
    assertObjectKey(key)
    assert.ok(bytes.length <= maxObjectSizeBytes, `object "${key}" has ${bytes.length} bytes`)
    const token = freshName()
    let attempts = 0
    return this.call({
      doing: `storing ${this.nameOf(key)}`,
      bytes: bytes.length,
      signal,
      attempt: async (attemptSignal) => {
        attempts += 1
        const answer = await this.#requests.put(key, { bytes, token, isShortLived }, attemptSignal)
        if (answer === 'created') return 'created'
        const found = await this.#requests.head(key, attemptSignal)
        if (found === undefined) throw whyFree(answer)
        if (found.token === undefined && attempts > 1) throw this.#withoutToken(key)
        return found.token === token ? 'created' : 'exists'
      },
    })
  }

  async *list(prefix: string, { signal }: StoreCallOptions = {}): AsyncGenerator<ListedObject> {
    assertKeyPrefix(prefix)
    signal?.throwIfAborted()
    const doing = `listing "${prefix}" of "${this.location}"`
    const askPage = (after: string | undefined): Promise<Page> =>
      this.call({
        doing,
        bytes: 0,
        signal,
        attempt: (attemptSignal) => this.#requests.listPage(prefix, after, attemptSignal),
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
        hint: `${this.#words.orderHint}; ${this.#words.guide} says what a store needs.`,
      })
    }
  }

  async head(key: string, { signal }: StoreCallOptions = {}): Promise<ObjectAttributes | undefined> {
    assertObjectKey(key)
    const found = await this.call({
      doing: `looking for ${this.nameOf(key)}`,
      bytes: 0,
      signal,
      attempt: (attemptSignal) => this.#requests.head(key, attemptSignal),
    })
    return found && { sizeBytes: found.sizeBytes, modifiedAtMs: found.modifiedAtMs }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#requests.close()
  }

  /** For messages. */
  protected nameOf(key: string): string {
    return `object "${key}" of "${this.location}"`
  }

  protected call<T>(call: Parameters<typeof callWithRetry<T>>[0]): Promise<T> {
    return callWithRetry(call, this.retrying)
  }

  async #getNothing(
    key: string,
    range: ByteRange,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const found = await this.head(key, { signal })
    if (found === undefined) return undefined
    resolveRange(range, found.sizeBytes, this.nameOf(key))
    return new Uint8Array(0)
  }

  /** It may be ours or somebody else's: the one answer would be as wrong as the other. */
  #withoutToken(key: string): OperationError {
    return new OperationError(
      'store-failed',
      `storing ${this.nameOf(key)}: expected the metadata that it was stored with, found none`,
      {
        hint: `Run the command again; a store that does not keep metadata is not fit (${this.#words.guide}).`,
      },
    )
  }
}

/** The key is free, and yet nothing was stored under it. */
function whyFree(answer: 'taken' | Refused): unknown {
  return answer === 'taken' ? new AnswerFault('the key was taken, and is free again') : answer.error
}

import { OperationError } from '../domain/operation-error.ts'
import type {
  ByteRange,
  DeleteOptions,
  ListedObject,
  ObjectAttributes,
  ObjectStore,
  PutOptions,
  StoreCallOptions,
} from '../storage/object-store.ts'
import { isAboutFile } from './object-problem.ts'

/** So many objects in a row that cannot be read are not some bad objects: it is the wrong user, or the disk has gone. */
const mostInARow = 100

/**
 * The store as verify reads it: an object that cannot be read is a finding and others go on being read, until too many in a
 * row cannot. What cannot be listed is never a finding, because what is missing there would not be noticed.
 */
export class PatientStore implements ObjectStore {
  readonly location: string
  readonly retention: ObjectStore['retention']
  readonly #inner: ObjectStore
  #inARow = 0

  constructor(inner: ObjectStore) {
    this.#inner = inner
    this.location = inner.location
    this.retention = inner.retention
  }

  get(
    key: string,
    range?: ByteRange,
    options?: StoreCallOptions,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#patiently(() => this.#inner.get(key, range, options))
  }

  head(key: string, options?: StoreCallOptions): Promise<ObjectAttributes | undefined> {
    return this.#patiently(() => this.#inner.head(key, options))
  }

  async *list(prefix: string, options?: StoreCallOptions): AsyncGenerator<ListedObject> {
    try {
      yield* this.#inner.list(prefix, options)
    } catch (error) {
      throw isAboutFile(error) ? unreachable(error) : error
    }
  }

  putIfAbsent(key: string, bytes: Uint8Array, options?: PutOptions): Promise<'created' | 'exists'> {
    return this.#inner.putIfAbsent(key, bytes, options)
  }

  delete(keys: readonly string[], options?: DeleteOptions): Promise<void> {
    return this.#inner.delete(keys, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]()
  }

  async #patiently<Answer>(read: () => Promise<Answer>): Promise<Answer> {
    try {
      const answer = await read()
      this.#inARow = 0
      return answer
    } catch (error) {
      if (!isAboutFile(error)) throw error
      this.#inARow += 1
      if (this.#inARow >= mostInARow) throw unreachable(error)
      throw error
    }
  }
}

function unreachable(error: OperationError): OperationError {
  const { message, hint } = error
  return new OperationError('store-unreachable', message, {
    cause: error,
    ...(hint !== undefined && { hint }),
  })
}

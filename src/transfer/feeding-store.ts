import type { ObjectStore, PutOptions } from '../storage/object-store.ts'

/** What is told of every object that was stored. The bytes are the caller's again when it returns. */
export type Feed = (key: string, bytes: Uint8Array) => void

/** A store that passes everything on to another one, and tells of what was stored there. Closing is left to its owner. */
export class FeedingStore implements ObjectStore {
  readonly location: string
  readonly retention: ObjectStore['retention']
  readonly get: ObjectStore['get']
  readonly list: ObjectStore['list']
  readonly delete: ObjectStore['delete']
  readonly head: ObjectStore['head']
  readonly #inner: ObjectStore
  readonly #feed: Feed

  constructor(inner: ObjectStore, feed: Feed) {
    this.#inner = inner
    this.#feed = feed
    this.location = inner.location
    this.retention = inner.retention
    this.get = inner.get.bind(inner)
    this.list = inner.list.bind(inner)
    this.delete = inner.delete.bind(inner)
    this.head = inner.head.bind(inner)
  }

  async putIfAbsent(key: string, bytes: Uint8Array, options?: PutOptions): Promise<'created' | 'exists'> {
    const answer = await this.#inner.putIfAbsent(key, bytes, options)
    if (answer === 'created') this.#feed(key, bytes)
    return answer
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve()
  }
}

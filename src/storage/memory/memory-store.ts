import assert from 'node:assert/strict'
import type { Clock } from '../../domain/run-context.ts'
import { resolveRange } from '../byte-range.ts'
import { assertKeyPrefix, assertObjectKey } from '../object-key.ts'
import {
  maxObjectSizeBytes,
  type ByteRange,
  type ListedObject,
  type ObjectAttributes,
  type ObjectStore,
  type StoreCallOptions,
} from '../object-store.ts'

interface StoredObject {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly modifiedAtMs: number
}

/** A store that lasts as long as the process: for tests, and for trying things out. Bytes are copied in and out. */
export class MemoryStore implements ObjectStore {
  readonly location: string
  readonly #clock: Pick<Clock, 'now'>
  readonly #objects = new Map<string, StoredObject>()

  constructor(name: string, clock: Pick<Clock, 'now'>) {
    this.location = `memory:${name}`
    this.#clock = clock
  }

  async get(
    key: string,
    range?: ByteRange,
    { signal }: StoreCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    assertObjectKey(key)
    signal?.throwIfAborted()
    const found = this.#objects.get(key)
    if (found === undefined) return undefined
    const { offset, length } = resolveRange(
      range,
      found.bytes.length,
      `object "${key}" of "${this.location}"`,
    )
    return found.bytes.slice(offset, offset + length)
  }

  async putIfAbsent(
    key: string,
    bytes: Uint8Array,
    { signal }: StoreCallOptions = {},
  ): Promise<'created' | 'exists'> {
    assertObjectKey(key)
    assert.ok(bytes.length <= maxObjectSizeBytes, `object "${key}" has ${bytes.length} bytes`)
    signal?.throwIfAborted()
    if (this.#objects.has(key)) return 'exists'
    this.#objects.set(key, { bytes: new Uint8Array(bytes), modifiedAtMs: this.#clock.now() })
    return 'created'
  }

  async *list(prefix: string, { signal }: StoreCallOptions = {}): AsyncGenerator<ListedObject> {
    assertKeyPrefix(prefix)
    signal?.throwIfAborted()
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).toSorted()
    for (const key of keys) {
      signal?.throwIfAborted()
      const found = this.#objects.get(key)
      if (found !== undefined) yield { key, ...attributesOf(found) }
    }
  }

  async delete(keys: readonly string[], { signal }: StoreCallOptions = {}): Promise<void> {
    keys.forEach(assertObjectKey)
    signal?.throwIfAborted()
    for (const key of keys) this.#objects.delete(key)
  }

  async head(key: string, { signal }: StoreCallOptions = {}): Promise<ObjectAttributes | undefined> {
    assertObjectKey(key)
    signal?.throwIfAborted()
    const found = this.#objects.get(key)
    return found && attributesOf(found)
  }

  /** Keeps the objects: whoever still has the store may go on using it. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

function attributesOf({ bytes, modifiedAtMs }: StoredObject): ObjectAttributes {
  return { sizeBytes: bytes.length, modifiedAtMs }
}

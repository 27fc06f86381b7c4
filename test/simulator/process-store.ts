import type {
  ByteRange,
  ListedObject,
  ObjectAttributes,
  ObjectStore,
} from '../../src/storage/object-store.ts'
import type { SimulatedProcess, VirtualWorld } from './virtual-world.ts'

/** The one store of a world, and what a lagging index would not know yet. */
export interface SharedStore {
  readonly inner: ObjectStore
  /** How long a listing may be behind, in milliseconds. 0: never. */
  readonly lagMs: number
  readonly storedAtMs: Map<string, number>
  readonly deleted: Map<string, { readonly atMs: number; readonly listed: ListedObject }>
  /** Called after each change. */
  readonly onChange: (change: { readonly put?: string; readonly deleted?: readonly string[] }) => void
}

/**
 * How one process sees the store: each call waits for its turn, and its answer for another, so that anything may happen
 * before, between and after.
 */
export class ProcessStore implements ObjectStore {
  readonly location = 'memory:simulated'
  readonly #world: VirtualWorld
  readonly #process: SimulatedProcess
  readonly #shared: SharedStore

  constructor(world: VirtualWorld, process: SimulatedProcess, shared: SharedStore) {
    this.#world = world
    this.#process = process
    this.#shared = shared
  }

  async get(key: string, range?: ByteRange): Promise<Uint8Array<ArrayBuffer> | undefined> {
    await this.#turn(`get ${key}`)
    return this.#shared.inner.get(key, range)
  }

  async head(key: string): Promise<ObjectAttributes | undefined> {
    await this.#turn(`head ${key}`)
    return this.#shared.inner.head(key)
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<'created' | 'exists'> {
    await this.#turn(`put ${key}`)
    const answer = await this.#shared.inner.putIfAbsent(key, bytes)
    if (answer === 'created') {
      this.#shared.storedAtMs.set(key, this.#world.now)
      this.#shared.deleted.delete(key)
      this.#shared.onChange({ put: key })
    }
    await this.#turn(`put ${key}: ${answer}`)
    return answer
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      await this.#turn(`delete ${key}`)
      const attributes = await this.#shared.inner.head(key)
      if (attributes === undefined) continue
      await this.#shared.inner.delete([key])
      this.#shared.deleted.set(key, { atMs: this.#world.now, listed: { key, ...attributes } })
      this.#shared.onChange({ deleted: [key] })
    }
  }

  async *list(prefix: string): AsyncGenerator<ListedObject> {
    await this.#turn(`list ${prefix}`)
    const listed: ListedObject[] = []
    for await (const object of this.#shared.inner.list(prefix))
      if (this.#isSeen(object.key)) listed.push(object)
    for (const [key, { atMs, listed: gone }] of this.#shared.deleted)
      if (key.startsWith(prefix) && this.#isBehind(atMs)) listed.push(gone)
    listed.sort((one, other) => (one.key < other.key ? -1 : 1))
    for (const [index, object] of listed.entries()) {
      // An answer comes in pages.
      if (index > 0 && index % 40 === 0) await this.#turn(`list ${prefix} after ${object.key}`)
      yield object
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #turn(description: string): Promise<void> {
    return this.#world.turn(this.#process, description)
  }

  #isSeen(key: string): boolean {
    const storedAtMs = this.#shared.storedAtMs.get(key)
    return storedAtMs === undefined || !this.#isBehind(storedAtMs)
  }

  /** Whether the listing does not know yet what happened at this time. */
  #isBehind(atMs: number): boolean {
    const ageMs = this.#world.now - atMs
    return ageMs < this.#shared.lagMs && this.#world.random(2) === 0
  }
}

import assert from 'node:assert/strict'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ArchivePlace } from './archive-place.ts'
import { readWalObject, type WalContent } from './read-wal-object.ts'
import { walObjectKey, type WalObject } from './wal-object-key.ts'
import type { WalSource } from './wal-source.ts'

/**
 * An archived file to be archived elsewhere, read as `storeWalFile` reads one: frame by frame from its beginning, as often as
 * it likes. The last frame is handed out only when the whole content is proven.
 */
export class ArchivedSource implements WalSource {
  readonly path: string
  readonly sizeBytes: number
  /** It is never changed. */
  readonly modifiedAtNs = 0n
  readonly #open: () => Promise<WalContent>
  #chunks: AsyncIterator<Uint8Array>
  #offset = 0

  /** Use `openArchivedSource`. */
  constructor(path: string, content: WalContent, open: () => Promise<WalContent>) {
    this.path = path
    this.sizeBytes = content.sizeBytes
    this.#open = open
    this.#chunks = content.chunks[Symbol.asyncIterator]()
  }

  async readAt(offset: number, length: number): Promise<Uint8Array> {
    if (offset === 0 && this.#offset > 0) {
      await this.#chunks.return?.()
      this.#chunks = (await this.#open()).chunks[Symbol.asyncIterator]()
      this.#offset = 0
    }
    assert.equal(offset, this.#offset, 'an archived file is read in order')
    const next = await this.#chunks.next()
    assert.ok(next.done !== true && next.value.length === length, 'an archived file is read by its frames')
    const bytes = new Uint8Array(next.value) // what is lent goes with the next frame
    this.#offset += length
    if (this.#offset === this.sizeBytes) await this.#chunks.next() // throws when its digest is not the one of its name
    return bytes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return?.()
  }
}

/** Throws `damaged` when there is no such file. */
export async function openArchivedSource(
  object: WalObject,
  place: ArchivePlace,
  context: RunContext,
): Promise<ArchivedSource> {
  const key = walObjectKey(place.cluster.id, object)
  const open = async (): Promise<WalContent> => {
    const content = await readWalObject(place, object, context)
    if (content !== undefined) return content
    throw new OperationError(
      'damaged',
      `reading "${key}" of "${place.repository.store.location}": it is missing`,
    )
  }
  return new ArchivedSource(key, await open(), open)
}

import { parseBackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { packFolder } from '../repository/object-keys.ts'
import { tidyAway } from '../repository/tidy-away.ts'
import { packId, type KnownPack } from './known-packs.ts'
import { openTransferPool, storedAs, type TransferPool } from './transfer-packs.ts'
import type { TransferPlaces } from './transfer-places.ts'

/** Packs that are in memory for one other repository: of about 8 MiB each, twice while they are sealed anew. */
const mostHeld = 2

/**
 * Hands the packs that a backup stores on to another repository while they are in memory, so that they need not be read again.
 * Never waits and never fails: what the other one cannot take in time is copied when the backup is complete.
 */
export class PackFeed implements AsyncDisposable {
  readonly #places: TransferPlaces
  readonly #context: RunContext
  readonly #pool: TransferPool
  readonly #ending = new AbortController()
  readonly #held = new Set<Promise<void>>()
  readonly #stored = new Map<string, KnownPack>()
  #isBroken = false

  constructor(places: TransferPlaces, context: RunContext) {
    this.#places = places
    this.#context = { ...context, signal: AbortSignal.any([context.signal, this.#ending.signal]) }
    this.#pool = openTransferPool(places, 1)
  }

  /** Takes a copy of a pack that was stored under this key, if there is room. */
  offer(key: string, bytes: Uint8Array): void {
    const { from, to } = this.#places
    const folder = packFolder(from.cluster.id)
    if (this.#isBroken || this.#held.size >= mostHeld || !key.startsWith(folder)) return
    const toKey = `${packFolder(to.cluster.id)}${key.slice(folder.length)}`
    const passed = this.#pass(new Uint8Array(bytes), { fromKey: key, toKey }).finally(() =>
      this.#held.delete(passed),
    )
    this.#held.add(passed)
  }

  /** What was stored there, by `packId`. */
  get known(): ReadonlyMap<string, KnownPack> {
    const folder = packFolder(this.#places.to.cluster.id)
    return new Map(
      [...this.#stored].flatMap(([key, pack]): [string, KnownPack][] => {
        const [label = '', number = ''] = key.slice(folder.length).split('/')
        return [[packId({ label: parseBackupLabel(label), number: Number(number) }), pack]]
      }),
    )
  }

  /** Resolves when everything that was taken is stored there, or given up. */
  async settle(): Promise<void> {
    await Promise.all(this.#held)
  }

  /** Deletes what was stored there: the backup has failed. */
  async discard(): Promise<void> {
    await this.settle()
    try {
      const signal = AbortSignal.timeout(30_000) // also after the work was cancelled
      await tidyAway(this.#places.to.repository, [...this.#stored.keys()], { signal })
    } catch (error) {
      this.#tell('could not remove what a failed backup has stored there', error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    await this.settle()
    await this.#pool[Symbol.asyncDispose]()
  }

  async #pass(
    bytes: Uint8Array<ArrayBuffer>,
    keys: { readonly fromKey: string; readonly toKey: string },
  ): Promise<void> {
    const { signal } = this.#context
    try {
      const made = await this.#pool.run({ bytes, ...keys }, { transfer: [bytes.buffer], signal })
      const { store } = this.#places.to.repository
      if ((await store.putIfAbsent(keys.toKey, made.bytes, { signal })) === 'created')
        this.#stored.set(keys.toKey, { ...storedAs(made), sourceTag: made.sourceTag })
    } catch (error) {
      if (!isOperationError(error) && !signal.aborted) throw error
      if (!this.#isBroken && !signal.aborted) this.#tell('takes no packs now', error)
      this.#isBroken = true
    }
  }

  #tell(what: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    const { location } = this.#places.to.repository.store
    this.#context.report({ kind: 'note', message: `"${location}" ${what}: ${why}` })
  }
}

import type { ArchivePlace } from '../archive/archive-place.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import type { ManifestHead, PackReference } from '../repository/manifest-head.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import type { SparePack, SparePackSource } from '../restore/write-packs.ts'
import { isTwin } from './plan-transfer.ts'
import { openTransferPool, resealForTarget, type TransferPool } from './transfer-packs.ts'

interface Wanted {
  readonly head: ManifestHead
  readonly reference: PackReference
}

interface Other {
  readonly place: ArchivePlace
  readonly pool: TransferPool
  /** Of the backup that is restored; undefined: it does not have it whole. */
  readonly head: ManifestHead | undefined
}

/**
 * Packs out of the other repositories of a cluster, for a restore that finds one damaged or missing. A pack is taken from a
 * repository only if that one lists the very backup that is restored, and its manifest means the same pack.
 */
export class SparePacks implements SparePackSource, AsyncDisposable {
  readonly #to: ArchivePlace
  readonly #open: () => Promise<readonly ArchivePlace[]>
  readonly #owned = new AsyncDisposableStack()
  #others: Promise<readonly Other[]> | undefined

  /** `open` gives the other repositories that can be opened; it is called when the first pack is wanted. */
  constructor(to: ArchivePlace, open: () => Promise<readonly ArchivePlace[]>) {
    this.#to = to
    this.#open = open
  }

  async has({ head, reference }: Wanted, context: RunContext): Promise<boolean> {
    const others = await this.#othersOf(head, context)
    return others.some((other) => referenceIn(other, reference) !== undefined)
  }

  async find({ head, reference }: Wanted, context: RunContext): Promise<SparePack | undefined> {
    for (const other of await this.#othersOf(head, context)) {
      const spare = await this.#take(other, reference, context)
      if (spare !== undefined) return spare
    }
    return undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync()
  }

  #othersOf(head: ManifestHead, context: RunContext): Promise<readonly Other[]> {
    this.#others ??= this.#openOthers(head, context)
    return this.#others
  }

  async #openOthers(head: ManifestHead, context: RunContext): Promise<readonly Other[]> {
    const others: Other[] = []
    for (const place of await this.#open()) {
      const pool = this.#owned.use(openTransferPool({ from: place, to: this.#to }, 1))
      others.push({ place, pool, head: await readSameHead(head, place, context) })
    }
    return others
  }

  async #take(other: Other, reference: PackReference, context: RunContext): Promise<SparePack | undefined> {
    const { place, pool } = other
    const same = referenceIn(other, reference)
    if (same === undefined) return undefined
    try {
      const { bytes, indexTag } = await resealForTarget(same, { from: place, to: this.#to, pool }, context)
      return { bytes, indexTag, location: place.repository.store.location }
    } catch (error) {
      context.signal.throwIfAborted()
      if (!isOperationError(error)) throw error
      context.report({ kind: 'warning', message: error.message })
      return undefined
    }
  }
}

/** How the manifest there means the same pack. */
function referenceIn({ head }: Other, { label, number, rawBytes }: PackReference): PackReference | undefined {
  return head?.packs.find(
    (pack) => pack.label === label && pack.number === number && pack.rawBytes === rawBytes,
  )
}

/** The manifest of the same backup there. */
async function readSameHead(
  { backup }: ManifestHead,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<ManifestHead | undefined> {
  try {
    const { backups } = await readCatalogue(repository, cluster.id, context)
    const listed = backups.find(({ label }) => label === backup.label)
    if (listed === undefined || isTwin(backup, listed)) return undefined
    return await readManifestHead(repository, { clusterId: cluster.id, ...listed }, context)
  } catch (error) {
    context.signal.throwIfAborted()
    if (!isOperationError(error)) throw error
    context.report({ kind: 'warning', message: error.message })
    return undefined
  }
}

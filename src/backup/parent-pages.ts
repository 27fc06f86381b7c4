import type { RunContext } from '../domain/run-context.ts'
import type { FileEntry } from '../repository/manifest-entry.ts'
import { readManifestEntries } from '../repository/manifest-reader.ts'
import { packKey } from '../repository/object-keys.ts'
import { hashedBlockSize } from '../repository/pack-index.ts'
import { PackReader } from '../repository/pack-reader.ts'
import { matchParent } from './match-parent.ts'
import type { Lineage } from './plan-incremental.ts'
import type { Scan } from './scan.ts'

interface BlockPlace {
  readonly file: number
  readonly block: number
}

/** Single pages out of a parent's packs, for the few that an audit has to look at. Holds one pack at a time. */
export class ParentPages {
  readonly #lineage: Lineage
  readonly #entries: ReadonlyMap<number, FileEntry>
  #pack: { readonly index: number; readonly reader: PackReader } | undefined

  private constructor(lineage: Lineage, entries: ReadonlyMap<number, FileEntry>) {
    this.#lineage = lineage
    this.#entries = entries
  }

  /** Looks the files of these blocks up in the parent's manifest. */
  static async find(
    blocks: readonly BlockPlace[],
    { scan, lineage }: { readonly scan: Scan; readonly lineage: Lineage },
    context: RunContext,
  ): Promise<ParentPages> {
    const wanted = new Set(blocks.map(({ file }) => file))
    const { repository, clusterId, head } = lineage
    const entries = new Map<number, FileEntry>()
    const manifest = readManifestEntries(repository, { clusterId, head }, context)
    for await (const { index, parent } of matchParent(scan.files, manifest)) {
      if (parent !== undefined && wanted.has(index)) entries.set(index, parent)
    }
    return new ParentPages(lineage, entries)
  }

  /** Undefined for a block that the parent does not have as a whole in one place. Throws `damaged`. */
  async read({ file, block }: BlockPlace, context: RunContext): Promise<Uint8Array | undefined> {
    const offset = block * hashedBlockSize
    let start = 0
    for (const { length, source } of this.#entries.get(file)?.extents ?? []) {
      const end = start + length
      if (offset >= start && offset < end) {
        if (offset + hashedBlockSize > end) return undefined
        if (source.kind === 'zeros') return new Uint8Array(hashedBlockSize)
        const reader = await this.#open(source.pack, context)
        const from = source.offset + offset - start
        return reader?.unit(source.unit).slice(from, from + hashedBlockSize)
      }
      start = end
    }
    return undefined
  }

  async #open(index: number, context: RunContext): Promise<PackReader | undefined> {
    if (this.#pack?.index === index) return this.#pack.reader
    const { repository, clusterId, head } = this.#lineage
    const reference = head.packs[index]
    if (reference === undefined) return undefined
    const key = packKey(clusterId, reference)
    const bytes = await repository.store.get(key, undefined, context)
    if (bytes === undefined) return undefined
    const reader = new PackReader(bytes, { keys: repository.keys.sealing, key })
    this.#pack = { index, reader }
    return reader
  }
}

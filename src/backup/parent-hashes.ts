import { createPageKernel } from '../codec/page-kernel.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Extent, FileEntry } from '../repository/manifest-entry.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import type { Repository } from '../repository/open-repository.ts'
import { hashCountOf, hashedBlockSize, type Unit } from '../repository/pack-index.ts'
import { readPackIndex } from '../repository/read-pack-index.ts'

/** What the parent has of a run of a file's bytes, which begins with a block. */
export interface KnownBlocks {
  /** One for each block; 0 where none is known: such a block counts as another one. */
  readonly hashes: BigUint64Array<ArrayBuffer>
  /** How many bytes from the beginning of the run on the parent has. */
  readonly length: number
}

interface ParentPlace {
  readonly repository: Repository
  readonly clusterId: string
  readonly head: ManifestHead
}

/** Indexes of packs that are kept at hand, by what they take: those of the packs that neighbours in the scan are in. */
const mostCachedBytes = 24 * 1024 * 1024
/** An object for each piece and unit, beside their hashes. */
const bytesPerPiece = 300

/** The block hashes of a parent's files, out of the indexes of its packs. Memory is bounded. */
export class ParentHashes {
  readonly #place: ParentPlace
  readonly #zeroHash: bigint
  /** In the order of their last use. */
  readonly #cached = new Map<number, { readonly units: readonly Unit[]; readonly bytes: number }>()
  #cachedBytes = 0

  constructor(place: ParentPlace) {
    this.#place = place
    const kernel = createPageKernel({
      inputBytes: hashedBlockSize,
      seed: place.repository.keys.blockHashSeed,
    })
    const hash = new BigUint64Array(1)
    kernel.hashBlocks({ offset: 0, length: hashedBlockSize }, hash)
    this.#zeroHash = hash[0] ?? 0n
  }

  /** Throws `damaged` when a pack of the parent cannot be read. `offset` is the beginning of a block. */
  async of(
    { extents, sizeBytes }: Pick<FileEntry, 'extents' | 'sizeBytes'>,
    { offset, length }: { readonly offset: number; readonly length: number },
    context: RunContext,
  ): Promise<KnownBlocks> {
    const end = Math.min(offset + length, sizeBytes)
    const hashes = new BigUint64Array(hashCountOf(length))
    let start = 0
    for (const extent of extents) {
      const extentEnd = start + extent.length
      if (extentEnd > offset && start < end) {
        const within = { start, offset, end: Math.min(end, extentEnd), sizeBytes }
        await this.#fill(hashes, extent, { within, context })
      }
      if (extentEnd >= end) break
      start = extentEnd
    }
    return { hashes, length: Math.max(0, end - offset) }
  }

  /** Blocks that lie in more than one extent stay unknown. */
  async #fill(
    hashes: BigUint64Array,
    { source, length }: Extent,
    { within, context }: { readonly within: Window; readonly context: RunContext },
  ): Promise<void> {
    const { start, offset, end, sizeBytes } = within
    const extentEnd = start + length
    const piece = source.kind === 'zeros' ? undefined : await this.#pieceAt(source.pack, source, context)
    if (source.kind === 'unit' && piece === undefined) return
    const firstBlock = Math.ceil(Math.max(start, offset) / hashedBlockSize)
    for (let block = firstBlock; block * hashedBlockSize < end; block += 1) {
      const blockStart = block * hashedBlockSize
      const blockEnd = Math.min(blockStart + hashedBlockSize, sizeBytes)
      if (blockEnd > extentEnd) return
      const hash =
        piece === undefined
          ? zeroHashOf(blockEnd - blockStart, this.#zeroHash)
          : hashWithin(piece, { from: blockStart - start, length: blockEnd - blockStart })
      hashes[block - offset / hashedBlockSize] = hash
    }
  }

  async #pieceAt(
    pack: number,
    { unit, offset }: { readonly unit: number; readonly offset: number },
    context: RunContext,
  ): Promise<HashedPiece | undefined> {
    const units = await this.#unitsOf(pack, context)
    let start = 0
    for (const { length, blockHashes } of units[unit]?.pieces ?? []) {
      if (offset < start + length) return { blockHashes, length, skipped: offset - start }
      start += length
    }
    return undefined
  }

  async #unitsOf(pack: number, context: RunContext): Promise<readonly Unit[]> {
    const cached = this.#cached.get(pack)
    if (cached !== undefined) {
      this.#cached.delete(pack)
      this.#cached.set(pack, cached)
      return cached.units
    }
    const { repository, clusterId, head } = this.#place
    const reference = head.packs[pack]
    if (reference === undefined) return []
    const units = await readPackIndex(repository, { clusterId, reference }, context)
    const bytes = units.reduce(
      (sum, { pieces }) =>
        pieces.reduce((part, { blockHashes }) => part + bytesPerPiece + blockHashes.byteLength, sum),
      0,
    )
    this.#cached.set(pack, { units, bytes })
    this.#cachedBytes += bytes
    for (const [oldest, { bytes: freed }] of this.#cached) {
      if (this.#cachedBytes <= mostCachedBytes || oldest === pack) break
      this.#cached.delete(oldest)
      this.#cachedBytes -= freed
    }
    return units
  }
}

/** A stretch of the file from `offset` to `end`, seen from an extent that begins at `start`. */
interface Window {
  readonly start: number
  readonly offset: number
  readonly end: number
  readonly sizeBytes: number
}

/** A piece of a unit whose first `skipped` bytes lie before the extent. */
interface HashedPiece {
  readonly blockHashes: BigUint64Array
  readonly length: number
  readonly skipped: number
}

/** The hash of a block, if the piece hashed exactly these bytes together. */
function hashWithin(
  { blockHashes, length: pieceLength, skipped }: HashedPiece,
  { from, length }: { readonly from: number; readonly length: number },
): bigint {
  const at = skipped + from
  const hashedLength = Math.min(hashedBlockSize, pieceLength - at)
  return at % hashedBlockSize === 0 && hashedLength === length
    ? (blockHashes[at / hashedBlockSize] ?? 0n)
    : 0n
}

/** A shorter block of zeros has another hash, and is stored for nothing. */
const zeroHashOf = (length: number, zeroHash: bigint): bigint => (length === hashedBlockSize ? zeroHash : 0n)

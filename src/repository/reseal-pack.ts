import type { PageKernel } from '../codec/page-kernel.ts'
import type { SealingKeys } from '../codec/sealed-object.ts'
import { hashCountOf, type Piece } from './pack-index.ts'
import { PackReader, type PackSource } from './pack-reader.ts'
import { PackWriter, type FinishedPack } from './pack-writer.ts'

/** zstd level of the index; units stay as they were compressed. */
const indexLevel = 1

export interface PackTarget {
  readonly keys: SealingKeys
  readonly key: string
  /** Where the pack is built: its first bytes are the pack then. */
  readonly buffer: Uint8Array
  /** Seeded with the secret of the repository that the pack is for. */
  readonly kernel: PageKernel
}

/**
 * Makes the same pack for another repository: the same units under the same numbers, as they were compressed, sealed with
 * other keys, and hashed anew, because block hashes are seeded. Everything is opened by its seal and unpacked on the way.
 * Gives the tag by which the manifest of the source means the pack, too. Throws `damaged`.
 */
export function resealPack(
  bytes: Uint8Array,
  source: PackSource,
  { keys, key, buffer, kernel }: PackTarget,
): FinishedPack & { readonly sourceTag: Uint8Array } {
  const reader = new PackReader(bytes, source)
  const writer = new PackWriter({ buffer, keys, key, compressionLevel: indexLevel })
  for (const [number, { pieces }] of reader.units.entries()) {
    reader.lendUnit(number, (raw, payload) => {
      kernel.input.set(raw)
      writer.addPayload([payload], hashAnew(pieces, kernel))
    })
  }
  return { ...writer.finish(), sourceTag: reader.indexTag }
}

/** The pieces of a unit whose raw bytes are at the beginning of the kernel's input. */
function hashAnew(pieces: readonly Piece[], kernel: PageKernel): readonly Piece[] {
  let offset = 0
  return pieces.map((piece) => {
    const blockHashes = new BigUint64Array(hashCountOf(piece.length))
    kernel.hashBlocks({ offset, length: piece.length }, blockHashes)
    offset += piece.length
    return { ...piece, blockHashes }
  })
}

import { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { OperationError } from '../domain/operation-error.ts'

/** Bytes of one file that a unit holds, and the XXH64 of each 8192 of them, seeded with the repository's secret. */
export interface Piece {
  /** 0: the data directory; else the OID of a tablespace. */
  readonly root: number
  /** Relative to the root; bytes, because file names are bytes. */
  readonly path: Uint8Array
  /** Where in the file the bytes begin. */
  readonly offset: number
  readonly length: number
  readonly blockHashes: BigUint64Array
}

/** One unit of a pack: what is compressed and sealed together. */
export interface Unit {
  /** Where in the pack the unit's frame begins. */
  readonly frameOffset: number
  /** The frame's length with its length field and tag. */
  readonly frameLength: number
  /** The unit holds its pieces one after the other. */
  readonly pieces: readonly Piece[]
}

/** The block that a hash covers. A file's last block may be shorter. */
export const hashedBlockSize = 8192

export const hashCountOf = (length: number): number => Math.ceil(length / hashedBlockSize)

/** How many bytes pieces are that stand one after the other. */
export const piecesLength = (pieces: readonly Piece[]): number =>
  pieces.reduce((sum, { length }) => sum + length, 0)

/**
 * Encodes the payload of a pack's last frame (docs/formats/pack.md) unit by unit, so that the pieces of a pack of small
 * files, of which there may be 100,000, are not held as objects.
 */
export class PackIndexEncoder {
  readonly #units = new BinaryWriter()
  #count = 0

  get unitCount(): number {
    return this.#count
  }

  add({ frameLength, pieces }: Pick<Unit, 'frameLength' | 'pieces'>): void {
    this.#count += 1
    this.#units.varint(frameLength)
    this.#units.varint(pieces.length)
    for (const piece of pieces) encodePiece(this.#units, piece)
  }

  finish(): Uint8Array {
    const writer = new BinaryWriter()
    writer.varint(this.#count)
    writer.bytes(this.#units.finish())
    return writer.finish()
  }
}

/** The same, of units that are all at hand. */
export function encodePackIndex(units: readonly Unit[]): Uint8Array {
  const encoder = new PackIndexEncoder()
  for (const unit of units) encoder.add(unit)
  return encoder.finish()
}

/** Throws `damaged` when the payload is not an index, or describes frames that the pack cannot hold. */
export function decodePackIndex(
  payload: Uint8Array,
  { key, firstFrameOffset, framesEnd }: { key: string; firstFrameOffset: number; framesEnd: number },
): readonly Unit[] {
  const reader = new BinaryReader(payload, `the index of pack "${key}"`)
  const count = reader.count(2)
  const units: Unit[] = []
  let frameOffset = firstFrameOffset
  for (let index = 0; index < count; index += 1) {
    const frameLength = reader.varint()
    const pieceCount = reader.count(4)
    const pieces = Array.from({ length: pieceCount }, () => decodePiece(reader))
    units.push({ frameOffset, frameLength, pieces })
    frameOffset += frameLength
  }
  reader.expectEnd()
  if (frameOffset !== framesEnd) {
    throw new OperationError(
      'damaged',
      `reading the index of pack "${key}": its units end at ${frameOffset}, its index begins at ${framesEnd}`,
    )
  }
  return units
}

function encodePiece(writer: BinaryWriter, piece: Piece): void {
  writer.varint(piece.root)
  writer.varint(piece.path.length)
  writer.bytes(piece.path)
  writer.varint(piece.offset)
  writer.varint(piece.length)
  // The platforms that we run on are little-endian, as the format is.
  const { buffer, byteOffset, byteLength } = piece.blockHashes
  writer.bytes(new Uint8Array(buffer, byteOffset, byteLength))
}

function decodePiece(reader: BinaryReader): Piece {
  const root = reader.varint()
  const path = reader.bytes(reader.varint())
  const offset = reader.varint()
  const length = reader.varint()
  return { root, path, offset, length, blockHashes: decodeHashes(reader.bytes(hashCountOf(length) * 8)) }
}

/** A copy, because the index need not lie where 64-bit numbers may. Not by `slice`: a Buffer's gives a view. */
function decodeHashes(bytes: Uint8Array): BigUint64Array {
  const copy = new Uint8Array(bytes)
  return new BigUint64Array(copy.buffer)
}

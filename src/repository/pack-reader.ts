import { unpackPayload } from '../codec/compression.ts'
import { ObjectOpener, sealedHeaderBytes, type SealingKeys } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import { piecesLength, type Unit } from './pack-index.ts'
import { decodeIndexFrame, readPackTrailer } from './pack-trailer.ts'
import { largestUnitBytes } from './pack-writer.ts'

export interface PackSource {
  readonly keys: SealingKeys
  readonly key: string
}

/**
 * Reads a pack that is wholly in memory. Nothing of a unit is handed out before its seal was checked. Throws `damaged`
 * naming the pack.
 */
export class PackReader {
  readonly units: readonly Unit[]
  /** The tag of the index: the manifest's proof that this is the pack it means. */
  readonly indexTag: Uint8Array
  readonly key: string
  readonly #bytes: Uint8Array
  readonly #opener: ObjectOpener

  constructor(bytes: Uint8Array, { keys, key }: PackSource) {
    this.#bytes = bytes
    this.key = key
    const trailer = readPackTrailer(bytes, { sizeBytes: bytes.length, key })
    this.#opener = new ObjectOpener(bytes.subarray(0, sealedHeaderBytes), { keys, kind: 'pack', key })
    const frame = bytes.subarray(trailer.indexOffset, trailer.indexEnd)
    const { indexTag, units } = decodeIndexFrame(frame, this.#opener, trailer)
    this.indexTag = indexTag
    this.units = units
  }

  /** The raw bytes of a unit: its pieces one after the other. */
  unit(number: number): Uint8Array {
    return this.#open(number).raw
  }

  /**
   * Lends a unit's raw bytes, and its payload as it is stored: their memory is released when `use` returns, so that many units
   * need that of one.
   */
  lendUnit<Result>(number: number, use: (raw: Uint8Array, payload: Uint8Array) => Result): Result {
    const { raw, payload } = this.#open(number)
    try {
      return use(raw, payload)
    } finally {
      // Without sealing, the payload lies in the pack itself; a unit that was stored as it is lies in its payload.
      for (const bytes of [raw, payload]) if (bytes.buffer !== this.#bytes.buffer) releaseMemory(bytes)
    }
  }

  #open(number: number): { readonly raw: Uint8Array; readonly payload: Uint8Array } {
    const unit = this.units[number]
    if (unit === undefined)
      throw new OperationError('damaged', `reading pack "${this.key}": it has no unit ${number}`)
    const frame = this.#bytes.subarray(unit.frameOffset, unit.frameOffset + unit.frameLength)
    const payload = this.#opener.openFrame(frame, number, false)
    const raw = unpackPayload(payload, largestUnitBytes, `unit ${number} of pack "${this.key}"`)
    const expected = piecesLength(unit.pieces)
    if (raw.length === expected) return { raw, payload }
    throw new OperationError(
      'damaged',
      `reading pack "${this.key}": unit ${number} has ${raw.length} bytes, its pieces have ${expected}`,
    )
  }
}

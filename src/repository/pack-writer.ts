import assert from 'node:assert/strict'
import { packPayload } from '../codec/compression.ts'
import { createObjectSealer, type ObjectSealer, type SealingKeys } from '../codec/sealed-object.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import { PackIndexEncoder, piecesLength, type Piece } from './pack-index.ts'

/** A unit holds at most this much: what a worker reads, compresses and seals at once. */
export const largestUnitBytes = 1024 * 1024

/** Ends a pack: the length of the index frame, the number of units, then these four bytes. */
export const packTrailerMagic = 0x58_50_46_48 // "HFPX" read as a little-endian u32
export const packTrailerBytes = 12

/**
 * A pack is finished when it reaches this size. A backup holds two for each worker, and so does a restore: with 16 MiB,
 * two workers need 32 MiB more.
 */
const packTargetBytes = 8 * 1024 * 1024

/**
 * How much memory a pack writer needs: a pack of the target size, the unit that passes it, and what that adds to the
 * index, whose pieces have at most this many bytes of paths.
 */
export const packBufferBytes = packTargetBytes + 3 * largestUnitBytes

interface PackWriterOptions {
  readonly buffer: Uint8Array
  readonly keys: SealingKeys
  readonly key: string
  readonly compressionLevel: number
}

/** What a finished pack is: its bytes, and the tag of its index, by which a manifest recognises it. */
export interface FinishedPack {
  readonly sizeBytes: number
  readonly indexTag: Uint8Array
  readonly unitCount: number
}

const tagBytes = 16

/**
 * Builds one pack in a buffer that it is given: header, unit frames, index frame, trailer (docs/formats/pack.md). Runs
 * in a worker; the buffer may be shared memory, from which the pack is stored without a copy.
 */
export class PackWriter {
  readonly #buffer: Uint8Array
  readonly #sealer: ObjectSealer
  readonly #compressionLevel: number
  readonly #index = new PackIndexEncoder()
  #used = 0
  #indexBytes = 64

  constructor({ buffer, keys, key, compressionLevel }: PackWriterOptions) {
    assert.ok(buffer.length >= packBufferBytes)
    this.#buffer = buffer
    this.#compressionLevel = compressionLevel
    this.#sealer = createObjectSealer({ keys, kind: 'pack', key })
    this.#append(this.#sealer.header)
  }

  /** How far the pack has come, with room for its index. */
  get sizeBytes(): number {
    return this.#used + this.#indexBytes
  }

  /** True once the pack has reached its target: it takes no further unit. */
  get isFull(): boolean {
    return this.sizeBytes >= packTargetBytes
  }

  /** Compresses and seals `raw`, which is the pieces' bytes one after the other. Gives the unit's number. */
  addUnit(raw: Uint8Array, pieces: readonly Piece[]): number {
    assert.ok(raw.length <= largestUnitBytes && raw.length === piecesLength(pieces))
    const payload = packPayload(raw, this.#compressionLevel)
    const number = this.addPayload(payload, pieces)
    for (const part of payload) if (part !== raw) releaseMemory(part)
    return number
  }

  /** The same for a unit that is compressed already. */
  addPayload(payload: readonly Uint8Array[], pieces: readonly Piece[]): number {
    assert.ok(!this.isFull)
    const frameOffset = this.#used
    this.#appendFrame(payload, false)
    this.#index.add({ frameLength: this.#used - frameOffset, pieces })
    for (const piece of pieces) this.#indexBytes += 32 + piece.path.length + 8 * piece.blockHashes.length
    return this.#index.unitCount - 1
  }

  /** Seals the index behind the units. The pack is the first `sizeBytes` of the buffer. */
  finish(): FinishedPack {
    const indexOffset = this.#used
    this.#appendFrame(packPayload(this.#index.finish(), this.#compressionLevel), true)
    const indexTag = this.#buffer.slice(this.#used - tagBytes, this.#used)
    const trailer = new DataView(new ArrayBuffer(packTrailerBytes))
    trailer.setUint32(0, this.#used - indexOffset, true)
    trailer.setUint32(4, this.#index.unitCount, true)
    trailer.setUint32(8, packTrailerMagic, true)
    this.#append(new Uint8Array(trailer.buffer))
    return { sizeBytes: this.#used, indexTag, unitCount: this.#index.unitCount }
  }

  #appendFrame(payload: readonly Uint8Array[], isLast: boolean): void {
    const sealed = this.#sealer.sealFrame(payload, isLast)
    for (const part of sealed) this.#append(part)
    // A part that was not encrypted is the payload's own.
    for (const part of sealed) if (!payload.includes(part)) releaseMemory(part)
  }

  #append(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#used)
    this.#used += bytes.length
  }
}

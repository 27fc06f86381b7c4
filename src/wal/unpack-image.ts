import { zstdDecompressSync } from 'node:zlib'

/** How a page image may be compressed: BKPIMAGE_COMPRESS_* in access/xlogrecord.h. */
export type ImageMethod = 'pglz' | 'lz4' | 'zstd'

/** A page image without its hole, of exactly so many bytes. Undefined when the bytes are not such an image. */
export function unpackImage(
  packed: Uint8Array,
  method: ImageMethod,
  sizeBytes: number,
): Uint8Array | undefined {
  const unpacked = unpackers[method](packed, sizeBytes)
  return unpacked?.length === sizeBytes ? unpacked : undefined
}

type Unpacker = (packed: Uint8Array, sizeBytes: number) => Uint8Array | undefined

const unpackers: Readonly<Record<ImageMethod, Unpacker>> = {
  pglz: unpackPglz,
  lz4: unpackLz4,
  zstd: unpackZstd,
}

function unpackZstd(packed: Uint8Array, sizeBytes: number): Uint8Array | undefined {
  try {
    return zstdDecompressSync(packed, { maxOutputLength: sizeBytes })
  } catch {
    return undefined
  }
}

/**
 * pglz_decompress in common/pg_lzcompress.c. A control byte tells of eight items, its lowest bit of the first: a byte as it
 * is, or a copy of what came before, in two bytes: length - 3 in the low four bits, the distance in the rest; a length of 18
 * has another byte to be added.
 */
function unpackPglz(packed: Uint8Array, sizeBytes: number): Uint8Array | undefined {
  const output = new Output(sizeBytes)
  let at = 0
  while (at < packed.length && !output.isFull()) {
    const control = byteAt(packed, at++)
    for (let bit = 0; bit < 8 && at < packed.length && !output.isFull(); bit += 1) {
      if ((control & (1 << bit)) === 0) {
        output.add(byteAt(packed, at++))
        continue
      }
      const [first, second] = [byteAt(packed, at), byteAt(packed, at + 1)]
      at += 2
      const short = (first & 0x0f) + 3
      const length = short === 18 ? short + byteAt(packed, at++) : short
      if (!output.repeat(((first & 0xf0) << 4) | second, length)) return undefined
    }
  }
  return output.finish()
}

/**
 * The LZ4 block format: a token with two lengths, literals, then a copy by distance (two bytes, low one first). A length of 15
 * goes on in further bytes, up to one that is not 255. The last sequence has literals only.
 */
function unpackLz4(packed: Uint8Array, sizeBytes: number): Uint8Array | undefined {
  const output = new Output(sizeBytes)
  let at = 0
  const lengthOf = (nibble: number): number => {
    let length = nibble
    if (nibble < 15) return length
    for (let more = 255; more === 255 && at < packed.length;) length += more = byteAt(packed, at++)
    return length
  }
  while (at < packed.length) {
    const token = byteAt(packed, at++)
    const literals = lengthOf(token >> 4)
    for (let count = 0; count < literals && at < packed.length; count += 1) output.add(byteAt(packed, at++))
    if (at >= packed.length) break
    const distance = byteAt(packed, at) | (byteAt(packed, at + 1) << 8)
    at += 2
    if (!output.repeat(distance, lengthOf(token & 0x0f) + 4)) return undefined
  }
  return output.finish()
}

/** Behind the end there is nothing; what is cut short comes out too short. */
const byteAt = (bytes: Uint8Array, at: number): number => bytes[at] ?? 0

/** So many bytes and no more, each new one or a repetition. */
class Output {
  readonly #bytes: Uint8Array
  #length = 0

  constructor(sizeBytes: number) {
    this.#bytes = new Uint8Array(sizeBytes)
  }

  isFull(): boolean {
    return this.#length >= this.#bytes.length
  }

  add(byte: number): void {
    if (!this.isFull()) this.#bytes[this.#length++] = byte
  }

  /** The copy may run into what it writes. False: it begins before the beginning. */
  repeat(distance: number, length: number): boolean {
    if (distance < 1 || distance > this.#length) return false
    for (let count = 0; count < length; count += 1) this.add(byteAt(this.#bytes, this.#length - distance))
    return true
  }

  /** Undefined when it did not become full. */
  finish(): Uint8Array | undefined {
    return this.isFull() ? this.#bytes : undefined
  }
}

import { OperationError } from '../domain/operation-error.ts'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The longest encodings: 2^53 - 1 and 2^64 - 1. */
const longestVarint = 8
const longestBigVarint = 10

const defaultTextLimitBytes = 64 * 1024

/**
 * Reads what `BinaryWriter` wrote. Bytes that are not as expected throw `damaged` with the description of what was
 * being read. Nothing is allocated on the word of a length or count that the bytes at hand cannot hold.
 */
export class BinaryReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #description: string
  #offset = 0

  /** `description` finishes "reading ...", as in `the index of pack "ab12/packs/7"`. */
  constructor(bytes: Uint8Array, description: string) {
    // A Buffer's slice() would be a view of the same memory; a plain array's is a copy, as readers expect.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#description = description
  }

  get offset(): number {
    return this.#offset
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }

  /** A number up to 2^53 - 1. An encoding that is longer than needed is damage: every value has exactly one. */
  varint(): number {
    let value = 0
    let scale = 1
    for (let length = 1; length <= longestVarint; length += 1) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if ((byte === 0 && length > 1) || value > Number.MAX_SAFE_INTEGER) break
        return value
      }
      scale *= 0x80
    }
    throw this.damage('expected a number in its shortest form and up to 2^53 - 1')
  }

  /** A bigint up to 2^64 - 1, in its shortest form. */
  bigVarint(): bigint {
    let value = 0n
    for (let length = 1; length <= longestBigVarint; length += 1) {
      const byte = this.u8()
      value |= BigInt(byte & 0x7f) << BigInt(7 * (length - 1))
      if (byte < 0x80) {
        if ((byte === 0 && length > 1) || value >= 2n ** 64n) break
        return value
      }
    }
    throw this.damage('expected a number in its shortest form and up to 2^64 - 1')
  }

  zigzag(): number {
    const value = this.varint()
    return value % 2 === 0 ? value / 2 : -(value - 1) / 2 - 1
  }

  /** How many entries follow, of at least `leastBytesEach` bytes: refused when that many cannot follow. */
  count(leastBytesEach = 1): number {
    const count = this.varint()
    if (count * leastBytesEach > this.remaining) {
      throw this.damage(
        `expected at most ${Math.floor(this.remaining / leastBytesEach)} entries in ${this.remaining} bytes, found a count of ${count}`,
      )
    }
    return count
  }

  /** A view of the next `length` bytes. */
  bytes(length: number): Uint8Array {
    const offset = this.#take(length)
    return this.#bytes.subarray(offset, offset + length)
  }

  /** A view of bytes that a varint length stands before. */
  sizedBytes(limitBytes = Number.MAX_SAFE_INTEGER): Uint8Array {
    const length = this.varint()
    if (length > limitBytes) throw this.damage(`expected at most ${limitBytes} bytes, found ${length}`)
    return this.bytes(length)
  }

  /** UTF-8 text that a varint length in bytes stands before. */
  text(limitBytes = defaultTextLimitBytes): string {
    const bytes = this.sizedBytes(limitBytes)
    try {
      return decoder.decode(bytes)
    } catch (cause) {
      throw this.damage('expected text in UTF-8', cause)
    }
  }

  /** Throws unless everything was read. */
  expectEnd(): void {
    if (this.remaining > 0) throw this.damage(`expected the end, found ${this.remaining} more bytes`)
  }

  /** For what only the format can know to be wrong. Says where; the caller throws it. */
  damage(found: string, cause?: unknown): OperationError {
    return new OperationError('damaged', `reading ${this.#description}: ${found}, at byte ${this.#offset}`, {
      ...(cause !== undefined && { cause }),
    })
  }

  #take(length: number): number {
    if (length > this.remaining) {
      throw this.damage(`expected ${length} more bytes, found ${this.remaining}`)
    }
    const offset = this.#offset
    this.#offset += length
    return offset
  }
}

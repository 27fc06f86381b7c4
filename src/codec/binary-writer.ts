import assert from 'node:assert/strict'

const largestU64 = 2n ** 64n - 1n

/**
 * Builds bytes of our formats: little-endian integers, unsigned LEB128 varints, bytes, UTF-8 text. Grows as needed.
 * Every method gives the writer itself; a value outside its type is a bug.
 */
export class BinaryWriter {
  #bytes: Buffer<ArrayBuffer>
  #length = 0

  constructor(initialCapacity = 256) {
    this.#bytes = Buffer.allocUnsafeSlow(initialCapacity)
  }

  /** How many bytes were written. */
  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    const offset = this.#claim(1)
    this.#bytes.writeUInt8(value, offset)
    return this
  }

  u16(value: number): this {
    const offset = this.#claim(2)
    this.#bytes.writeUInt16LE(value, offset)
    return this
  }

  u32(value: number): this {
    const offset = this.#claim(4)
    this.#bytes.writeUInt32LE(value, offset)
    return this
  }

  u64(value: bigint): this {
    const offset = this.#claim(8)
    this.#bytes.writeBigUInt64LE(value, offset)
    return this
  }

  /** 0 to 2^53 - 1. */
  varint(value: number): this {
    assert.ok(Number.isSafeInteger(value) && value >= 0)
    let offset = this.#claim(8)
    let rest = value
    while (rest >= 0x80) {
      // The remainder and not a bit operation: those see 32 bits only.
      this.#bytes[offset] = (rest % 0x80) + 0x80
      offset += 1
      rest = rest < 0x8000_0000 ? rest >>> 7 : Math.floor(rest / 0x80)
    }
    this.#bytes[offset] = rest
    this.#length = offset + 1
    return this
  }

  /** 0 to 2^64 - 1. */
  bigVarint(value: bigint): this {
    assert.ok(value >= 0n && value <= largestU64)
    let rest = value
    while (rest >= 0x80n) {
      this.u8(Number(rest & 0x7fn) + 0x80)
      rest >>= 7n
    }
    return this.u8(Number(rest))
  }

  /** A signed number from -2^52 to 2^52 - 1; near zero it is short, whatever its sign. */
  zigzag(value: number): this {
    return this.varint(value >= 0 ? value * 2 : -value * 2 - 1)
  }

  /** The bytes alone; the reader knows how many. */
  bytes(value: Uint8Array): this {
    const offset = this.#claim(value.length)
    this.#bytes.set(value, offset)
    return this
  }

  /** A varint length, then the bytes. */
  sizedBytes(value: Uint8Array): this {
    return this.varint(value.length).bytes(value)
  }

  /** A varint length in bytes, then UTF-8. */
  text(value: string): this {
    assert.ok(value.isWellFormed())
    const length = Buffer.byteLength(value)
    this.varint(length)
    const offset = this.#claim(length)
    this.#bytes.write(value, offset)
    return this
  }

  /** What was written so far. A view, which later writes do not change. */
  finish(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset, this.#length)
  }

  /** Makes room for `length` more bytes and gives the offset where they go. Look at `#bytes` only afterwards. */
  #claim(length: number): number {
    const offset = this.#length
    this.#length += length
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#length, this.#bytes.length * 2))
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    return offset
  }
}

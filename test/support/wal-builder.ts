import { toLsn, type Lsn } from '../../src/domain/lsn.ts'
import { crc32c } from '../../src/platform/crc32c.ts'
import { magicOfMajor, walPageSize, type WalMajor } from '../../src/wal/page-header.ts'
import type { WalSegmentBytes } from '../../src/wal/record-reader.ts'

export interface BuiltRecord {
  readonly rmid?: number
  readonly info?: number
  readonly xid?: number
  /** Everything behind the record header. Default: nothing. */
  readonly body?: Uint8Array
}

interface Shape {
  readonly major?: WalMajor
  readonly startLsn?: bigint
  readonly segmentSize?: number
  readonly systemIdentifier?: bigint
  readonly timeline?: number
}

/** Writes WAL as a server does, for tests of what reads it. */
export class WalBuilder {
  readonly #shape: Required<Shape>
  readonly #segments: Buffer[] = []
  #position = 0
  #lastLsn = 0n

  constructor(shape: Shape = {}) {
    this.#shape = {
      major: 16,
      startLsn: 0x100000n,
      segmentSize: 1 << 20,
      systemIdentifier: 7_710_220_844_401_826_856n,
      timeline: 1,
      ...shape,
    }
    this.#lastLsn = this.#shape.startLsn - 8n
  }

  get segments(): readonly WalSegmentBytes[] {
    return this.#segments.map((bytes, index) => ({
      bytes,
      startLsn: toLsn(this.#shape.startLsn + BigInt(index * this.#shape.segmentSize)),
    }))
  }

  /** Returns where the record begins. */
  append({ rmid = 10, info = 0, xid = 0, body = new Uint8Array(0) }: BuiltRecord): Lsn {
    this.#enterPage(0)
    const lsn = toLsn(this.#shape.startLsn + BigInt(this.#position))
    const record = Buffer.alloc(24 + body.length)
    record.writeUInt32LE(record.length, 0)
    record.writeUInt32LE(xid, 4)
    record.writeBigUInt64LE(this.#lastLsn, 8)
    record.writeUInt8(info, 16)
    record.writeUInt8(rmid, 17)
    record.set(body, 24)
    record.writeUInt32LE(crc32c(record.subarray(0, 20), crc32c(body)), 20)
    this.#write(record)
    this.#lastLsn = lsn
    return lsn
  }

  /** XLOG_SWITCH: the next record begins in the next segment. */
  switchSegment(): Lsn {
    const lsn = this.append({ rmid: 0, info: 0x40 })
    const { segmentSize } = this.#shape
    this.#position = Math.ceil(this.#position / segmentSize) * segmentSize
    return lsn
  }

  #write(record: Buffer): void {
    for (let written = 0; written < record.length;) {
      this.#enterPage(record.length - written, written > 0)
      const room = walPageSize - (this.#position % walPageSize)
      const piece = record.subarray(written, written + room)
      const { segmentSize } = this.#shape
      this.#segments[Math.floor(this.#position / segmentSize)]?.set(piece, this.#position % segmentSize)
      this.#position += piece.length
      written += piece.length
    }
    this.#position = Math.ceil(this.#position / 8) * 8
  }

  /** Writes the page's header if the position stands at its beginning. */
  #enterPage(continuedBytes: number, isContinued = false): void {
    if (this.#position % walPageSize !== 0) return
    const { segmentSize, systemIdentifier, startLsn, timeline, major } = this.#shape
    const offset = this.#position % segmentSize
    if (offset === 0) this.#segments.push(Buffer.alloc(segmentSize))
    const segment = this.#segments.at(-1)
    const page = segment?.subarray(offset, offset + walPageSize) ?? Buffer.alloc(0)
    page.writeUInt16LE(magicOfMajor(major), 0)
    page.writeUInt16LE((isContinued ? 1 : 0) | (offset === 0 ? 2 : 0), 2)
    page.writeUInt32LE(timeline, 4)
    page.writeBigUInt64LE(startLsn + BigInt(this.#position), 8)
    page.writeUInt32LE(isContinued ? continuedBytes : 0, 16)
    this.#position += 24
    if (offset !== 0) return
    page.writeBigUInt64LE(systemIdentifier, 24)
    page.writeUInt32LE(segmentSize, 32)
    page.writeUInt32LE(walPageSize, 36)
    this.#position += 16
  }
}

/** A record's body that is main data only. */
export function mainData(data: Uint8Array): Uint8Array {
  if (data.length < 256) return Buffer.concat([Buffer.from([255, data.length]), data])
  const header = Buffer.alloc(5)
  header.writeUInt8(254, 0)
  header.writeUInt32LE(data.length, 1)
  return Buffer.concat([header, data])
}

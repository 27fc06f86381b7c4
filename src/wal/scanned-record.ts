import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { WalMajor } from './page-header.ts'

/** SizeOfXLogRecord in access/xlogrecord.h. */
export const recordHeaderLength = 24
/** Byte offsets in XLogRecord, access/xlogrecord.h. */
const offsets = { xid: 4, prevLow: 8, prevHigh: 12, info: 16, rmid: 17 } as const

/** Ids that stand where a block's number would: access/xlogrecord.h. */
const ids = { lastBlock: 32, topLevelXid: 252, origin: 253, longData: 254, shortData: 255 } as const
const blockFlags = { forkMask: 0x0f, hasImage: 0x10, hasData: 0x20, sameRelation: 0x80 } as const
const pageBytes = 8192
/** bimg_info. PostgreSQL 15 replaced "is compressed" by a bit for each method, and moved the others. */
const imageFlags = { hasHole: 0x01, compressed14: 0x02, compressedSince15: 0x1c } as const

/** Numbers that are kept of each block. */
const perBlock = 3

/**
 * One whole record in some memory, and where its parts lie. One object serves all records of a scan: nothing is made for
 * a record. Reads the same as record-body.ts, which makes objects.
 */
export class ScannedRecord {
  readonly major: WalMajor
  readonly #compressed: number
  bytes: Uint8Array = new Uint8Array(0)
  view = new DataView(this.bytes.buffer)
  /** Of the record in the memory. */
  start = 0
  end = 0
  lsnHigh = 0
  lsnLow = 0
  endHigh = 0
  endLow = 0
  xid = 0
  info = 0
  rmid = 0
  /** Where the main data begins; it goes on to the end. */
  mainStart = 0
  /** The top-level transaction of `xid`, where the record says so (wal_level=logical); otherwise 0. */
  topLevelXid = 0
  blockCount = 0
  /** Of each block: where its relation stands in the memory, its fork, its number. */
  readonly #blocks = new Uint32Array(perBlock * (ids.lastBlock + 1))
  #announced = 0
  #mainLength = 0
  #lastBlockId = -1
  #relationAt = -1

  constructor(major: WalMajor) {
    this.major = major
    this.#compressed = major === 14 ? imageFlags.compressed14 : imageFlags.compressedSince15
  }

  get lsn(): Lsn {
    return toLsn((BigInt(this.lsnHigh) << 32n) | BigInt(this.lsnLow))
  }

  get endLsn(): Lsn {
    return toLsn((BigInt(this.endHigh) << 32n) | BigInt(this.endLow))
  }

  get prevHigh(): number {
    return this.view.getUint32(this.start + offsets.prevHigh, true)
  }

  get prevLow(): number {
    return this.view.getUint32(this.start + offsets.prevLow, true)
  }

  get prevLsn(): Lsn {
    return toLsn((BigInt(this.prevHigh) << 32n) | BigInt(this.prevLow))
  }

  get mainLength(): number {
    return this.end - this.mainStart
  }

  /** Looks at the record from `start` up to `end`, of which the header at least must be in the memory. */
  place(start: number, end: number): void {
    this.start = start
    this.end = end
    this.xid = this.view.getUint32(start + offsets.xid, true)
    this.info = this.bytes[start + offsets.info] ?? 0
    this.rmid = this.bytes[start + offsets.rmid] ?? 0
  }

  /** Where the RelFileLocator of a block stands in the memory. */
  relationAt(block: number): number {
    return this.#blocks[perBlock * block] ?? 0
  }

  forkOf(block: number): number {
    return this.#blocks[perBlock * block + 1] ?? 0
  }

  blockNumberOf(block: number): number {
    return this.#blocks[perBlock * block + 2] ?? 0
  }

  /**
   * Finds the record's parts, as DecodeXLogRecord in access/transam/xlogreader.c does: the headers end where what remains
   * is exactly the data that they announced. False when they do not add up.
   */
  readLayout(): boolean {
    const { end, bytes } = this
    this.#announced = 0
    this.#mainLength = 0
    this.#lastBlockId = -1
    this.#relationAt = -1
    this.topLevelXid = 0
    this.blockCount = 0
    let offset = this.start + recordHeaderLength
    while (end - offset > this.#announced) {
      const id = bytes[offset] ?? 0
      offset = id <= ids.lastBlock ? this.#readBlock(offset, id) : this.#readOther(offset, id)
      if (offset < 0 || offset > end) return false
    }
    this.mainStart = end - this.#mainLength
    return end - offset === this.#announced
  }

  /** Gives where the next header begins, or -1. */
  #readOther(offset: number, id: number): number {
    const { view } = this
    const room = this.end - offset
    switch (id) {
      case ids.shortData:
        return room < 2 ? -1 : this.#announceMain(this.bytes[offset + 1] ?? 0, offset + 2)
      case ids.longData:
        return room < 5 ? -1 : this.#announceMain(view.getUint32(offset + 1, true), offset + 5)
      case ids.origin:
        return offset + 3
      case ids.topLevelXid:
        if (room >= 5) this.topLevelXid = view.getUint32(offset + 1, true)
        return offset + 5
      default:
        return -1
    }
  }

  #announceMain(length: number, next: number): number {
    this.#mainLength = length
    this.#announced += length
    return next
  }

  /** XLogRecordBlockHeader; an image's header, if any; RelFileLocator, unless it is the last block's; the number. */
  #readBlock(offset: number, id: number): number {
    if (id <= this.#lastBlockId || this.end - offset < 4) return -1
    this.#lastBlockId = id
    const flags = this.bytes[offset + 1] ?? 0
    const dataLength = this.view.getUint16(offset + 2, true)
    if (((flags & blockFlags.hasData) !== 0) !== dataLength > 0) return -1
    this.#announced += dataLength
    const next = (flags & blockFlags.hasImage) === 0 ? offset + 4 : this.#readImage(offset + 4)
    return next < 0 ? -1 : this.#readLocation(next, flags)
  }

  /** XLogRecordBlockImageHeader: length, hole_offset, bimg_info, and hole_length if it cannot be computed. */
  #readImage(offset: number): number {
    if (this.end - offset < 5) return -1
    const length = this.view.getUint16(offset, true)
    const flags = this.bytes[offset + 4] ?? 0
    const isCompressed = (flags & this.#compressed) !== 0
    const hasHole = (flags & imageFlags.hasHole) !== 0
    if (length > pageBytes || (!isCompressed && !hasHole && length !== pageBytes)) return -1
    this.#announced += length
    return offset + (isCompressed && hasHole ? 7 : 5)
  }

  #readLocation(offset: number, flags: number): number {
    let at = offset
    if ((flags & blockFlags.sameRelation) === 0) {
      if (this.end - at < 12) return -1
      this.#relationAt = at
      at += 12
    }
    if (this.#relationAt < 0 || this.end - at < 4) return -1
    const place = perBlock * this.blockCount
    this.#blocks[place] = this.#relationAt
    this.#blocks[place + 1] = flags & blockFlags.forkMask
    this.#blocks[place + 2] = this.view.getUint32(at, true)
    this.blockCount += 1
    return at + 4
  }
}

import type { WalMajor } from './page-header.ts'

/** Where in a record its own payload lies, and how much of it is page images. */
export interface RecordBody {
  /** What the resource manager wrote about the record as a whole: its last bytes. */
  readonly mainDataOffset: number
  /** Bytes of full page images, as they are stored. */
  readonly imageBytes: number
}

/** A page that a record changed. */
export interface BlockReference {
  readonly tablespace: number
  readonly database: number
  readonly relation: number
  readonly fork: number
  readonly block: number
  readonly hasImage: boolean
}

/** SizeOfXLogRecord in access/xlogrecord.h. */
export const recordHeaderLength = 24

/** Ids that stand where a block's number would: access/xlogrecord.h. */
const ids = { lastBlock: 32, topLevelXid: 252, origin: 253, longData: 254, shortData: 255 } as const
const blockFlags = { forkMask: 0x0f, hasImage: 0x10, hasData: 0x20, sameRelation: 0x80 } as const
/** BLCKSZ. */
export const pageBytes = 8192

/** bimg_info. PostgreSQL 15 replaced "is compressed" by a bit for each method, and moved the others. */
const imageFlags = {
  hasHole: 0x01,
  compressed14: 0x02,
  compressedSince15: 0x1c,
} as const

interface Walk {
  readonly bytes: DataView
  readonly compressed: number
  readonly blocks: BlockReference[] | undefined
  offset: number
  /** Bytes of data that the headers so far announce: images, block data, main data. */
  announced: number
  mainLength: number
  imageBytes: number
  lastBlockId: number
  relation: Pick<BlockReference, 'tablespace' | 'database' | 'relation'> | undefined
}

/**
 * Walks the headers of one whole record, as DecodeXLogRecord in access/transam/xlogreader.c does. Undefined when they do
 * not add up to the record's length: PostgreSQL ends recovery at such a record.
 */
export function readRecordBody(record: DataView, major: WalMajor): RecordBody | undefined {
  const walk = startWalk(record, major, undefined)
  if (!walkHeaders(walk)) return undefined
  return { mainDataOffset: record.byteLength - walk.mainLength, imageBytes: walk.imageBytes }
}

/** The pages that a record names, in its order. Undefined under the same condition as `readRecordBody`. */
export function readBlockReferences(
  record: DataView,
  major: WalMajor,
): readonly BlockReference[] | undefined {
  const blocks: BlockReference[] = []
  return walkHeaders(startWalk(record, major, blocks)) ? blocks : undefined
}

function startWalk(bytes: DataView, major: WalMajor, blocks: BlockReference[] | undefined): Walk {
  return {
    bytes,
    compressed: major === 14 ? imageFlags.compressed14 : imageFlags.compressedSince15,
    blocks,
    offset: recordHeaderLength,
    announced: 0,
    mainLength: 0,
    imageBytes: 0,
    lastBlockId: -1,
    relation: undefined,
  }
}

/** The headers end where what remains is exactly the data that they announced. */
function walkHeaders(walk: Walk): boolean {
  const { byteLength } = walk.bytes
  while (byteLength - walk.offset > walk.announced) {
    const before = walk.offset
    if (!walkHeader(walk) || walk.offset > byteLength || walk.offset === before) return false
  }
  return byteLength - walk.offset === walk.announced
}

function walkHeader(walk: Walk): boolean {
  const id = walk.bytes.getUint8(walk.offset)
  switch (id) {
    case ids.shortData:
      return has(walk, 2) && announceMainData(walk, walk.bytes.getUint8(walk.offset + 1), 2)
    case ids.longData:
      return has(walk, 5) && announceMainData(walk, walk.bytes.getUint32(walk.offset + 1, true), 5)
    case ids.origin:
      return skip(walk, 3)
    case ids.topLevelXid:
      return skip(walk, 5)
    default:
      return walkBlock(walk, id)
  }
}

/** Main data is announced last. */
function announceMainData(walk: Walk, length: number, headerLength: number): boolean {
  walk.mainLength = length
  walk.announced += length
  return skip(walk, headerLength)
}

function walkBlock(walk: Walk, id: number): boolean {
  if (id > ids.lastBlock || id <= walk.lastBlockId || !has(walk, 4)) return false
  walk.lastBlockId = id
  const flags = walk.bytes.getUint8(walk.offset + 1)
  const dataLength = walk.bytes.getUint16(walk.offset + 2, true)
  if (((flags & blockFlags.hasData) !== 0) !== dataLength > 0) return false
  walk.announced += dataLength
  skip(walk, 4)
  return ((flags & blockFlags.hasImage) === 0 || walkImage(walk)) && walkLocation(walk, flags)
}

/** XLogRecordBlockImageHeader: length, hole_offset, bimg_info, and hole_length if it cannot be computed. */
function walkImage(walk: Walk): boolean {
  if (!has(walk, 5)) return false
  const length = walk.bytes.getUint16(walk.offset, true)
  const flags = walk.bytes.getUint8(walk.offset + 4)
  const isCompressed = (flags & walk.compressed) !== 0
  const hasHole = (flags & imageFlags.hasHole) !== 0
  if (length > pageBytes || (!isCompressed && !hasHole && length !== pageBytes)) return false
  walk.announced += length
  walk.imageBytes += length
  return skip(walk, isCompressed && hasHole ? 7 : 5)
}

/** RelFileLocator (RelFileNode before 16), unless it is the same as the previous block's; then the block number. */
function walkLocation(walk: Walk, flags: number): boolean {
  const { bytes } = walk
  if ((flags & blockFlags.sameRelation) === 0) {
    if (!has(walk, 12)) return false
    const at = walk.offset
    walk.relation = {
      tablespace: bytes.getUint32(at, true),
      database: bytes.getUint32(at + 4, true),
      relation: bytes.getUint32(at + 8, true),
    }
    skip(walk, 12)
  }
  if (walk.relation === undefined || !has(walk, 4)) return false
  walk.blocks?.push({
    ...walk.relation,
    fork: flags & blockFlags.forkMask,
    block: bytes.getUint32(walk.offset, true),
    hasImage: (flags & blockFlags.hasImage) !== 0,
  })
  return skip(walk, 4)
}

function has(walk: Walk, length: number): boolean {
  return walk.bytes.byteLength - walk.offset >= length
}

function skip(walk: Walk, length: number): boolean {
  walk.offset += length
  return true
}

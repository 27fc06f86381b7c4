import { pageBytes, recordHeaderLength } from './record-body.ts'
import type { WalRecord } from './record-reader.ts'
import { unpackImage, type ImageMethod } from './unpack-image.ts'

/** XLogRecordBlockHeader, and behind it XLogRecordBlockImageHeader, in access/xlogrecord.h. */
const blockHeaderBytes = 4
const image = { holeOffset: 2, info: 4, holeLength: 5 } as const
const hasHole = 0x01
/** BKPIMAGE_IS_COMPRESSED of 14 is pglz; 15 gave each method a bit. */
const methods14: ReadonlyMap<number, ImageMethod> = new Map([[0x02, 'pglz']])
const methodsSince15: ReadonlyMap<number, ImageMethod> = new Map([
  [0x04, 'pglz'],
  [0x08, 'lz4'],
  [0x10, 'zstd'],
])

/**
 * The page of a record that names one block and has an image of it, its hole filled with zeros. Undefined when it cannot be
 * unpacked.
 */
export function readOnlyImage(record: WalRecord): Uint8Array | undefined {
  const { bytes, mainData, imageBytes, major } = record
  const header = recordHeaderLength + blockHeaderBytes
  const dataBytes = bytes.getUint16(recordHeaderLength + 2, true)
  // Images come before what else belongs to blocks.
  const start = bytes.byteLength - mainData.byteLength - dataBytes - imageBytes
  if (start < recordHeaderLength) return undefined
  const stored = new Uint8Array(bytes.buffer, bytes.byteOffset + start, imageBytes)
  const method = methodOf(bytes.getUint8(header + image.info), major)
  const hole = {
    offset: bytes.getUint16(header + image.holeOffset, true),
    length: method === undefined ? pageBytes - imageBytes : toldHole(bytes, header),
  }
  if (hole.length < 0 || hole.length >= pageBytes) return undefined
  const content = method === undefined ? stored : unpackImage(stored, method, pageBytes - hole.length)
  return content && withHole(content, hole)
}

function methodOf(info: number, major: number): ImageMethod | undefined {
  const methods = major === 14 ? methods14 : methodsSince15
  return [...methods].find(([flag]) => (info & flag) !== 0)?.[1]
}

/** Of a compressed image, whose own length says nothing of it. */
const toldHole = (bytes: DataView, header: number): number =>
  (bytes.getUint8(header + image.info) & hasHole) === 0 ? 0 : bytes.getUint16(header + image.holeLength, true)

function withHole(
  content: Uint8Array,
  { offset, length }: { readonly offset: number; readonly length: number },
): Uint8Array | undefined {
  if (content.length + length !== pageBytes || offset > content.length) return undefined
  const page = new Uint8Array(pageBytes)
  page.set(content.subarray(0, offset))
  page.set(content.subarray(offset), offset + length)
  return page
}

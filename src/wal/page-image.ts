import { recordHeaderLength } from './record-body.ts'
import type { WalRecord } from './record-reader.ts'
import { unpackImage, type ImageMethod } from './unpack-image.ts'

export const pageBytes = 8192
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
export function readOnlyImage({ bytes, mainData, imageBytes, major }: WalRecord): Uint8Array | undefined {
  const header = recordHeaderLength + blockHeaderBytes
  const dataBytes = bytes.getUint16(recordHeaderLength + 2, true)
  const info = bytes.getUint8(header + image.info)
  const holeOffset = bytes.getUint16(header + image.holeOffset, true)
  const [method] = [...(major === 14 ? methods14 : methodsSince15)].flatMap(([flag, each]) =>
    (info & flag) === 0 ? [] : [each],
  )
  // Images come before what else belongs to blocks.
  const start = bytes.byteLength - mainData.byteLength - dataBytes - imageBytes
  const stored = new Uint8Array(bytes.buffer, bytes.byteOffset + start, imageBytes)
  const isHoleTold = method !== undefined && (info & hasHole) !== 0
  const holeLength = isHoleTold
    ? bytes.getUint16(header + image.holeLength, true)
    : method === undefined
      ? pageBytes - imageBytes
      : 0
  const content = method === undefined ? stored : unpackImage(stored, method, pageBytes - holeLength)
  if (content === undefined || content.length + holeLength !== pageBytes || holeOffset > content.length)
    return undefined
  const page = new Uint8Array(pageBytes)
  page.set(content.subarray(0, holeOffset))
  page.set(content.subarray(holeOffset), holeOffset + holeLength)
  return page
}

import { unpackPayload } from '../codec/compression.ts'
import { sealedHeaderBytes, type ObjectOpener } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import { decodePackIndex, type Unit } from './pack-index.ts'
import { packTrailerBytes, packTrailerMagic } from './pack-writer.ts'

const largestIndexBytes = 64 * 1024 * 1024
const tagBytes = 16

/** Where in a pack its index is. Not sealed: the index opens only where, and under the number that, it really has. */
export interface PackTrailer {
  readonly indexOffset: number
  readonly indexEnd: number
  readonly unitCount: number
}

/** Reads the trailer out of the last bytes of a pack of `sizeBytes`. Throws `damaged`. */
export function readPackTrailer(
  tail: Uint8Array,
  { sizeBytes, key }: { readonly sizeBytes: number; readonly key: string },
): PackTrailer {
  const indexEnd = sizeBytes - packTrailerBytes
  const at = tail.length - packTrailerBytes
  const trailer = new DataView(tail.buffer, tail.byteOffset + Math.max(0, at))
  if (at < 0 || indexEnd <= sealedHeaderBytes || trailer.getUint32(8, true) !== packTrailerMagic)
    throw new OperationError('damaged', `reading pack "${key}": expected a pack, found its end missing`)
  const indexOffset = indexEnd - trailer.getUint32(0, true)
  if (indexOffset < sealedHeaderBytes)
    throw new OperationError('damaged', `reading pack "${key}": its end is cut off`)
  return { indexOffset, indexEnd, unitCount: trailer.getUint32(4, true) }
}

/** Opens the index of a pack. Its tag is the manifest's proof that this is the pack it means. Throws `damaged`. */
export function decodeIndexFrame(
  frame: Uint8Array,
  opener: ObjectOpener,
  { indexOffset, unitCount }: PackTrailer,
): { readonly indexTag: Uint8Array; readonly units: readonly Unit[] } {
  const { key } = opener
  const payload = opener.openFrame(frame, unitCount, true)
  const raw = unpackPayload(payload, largestIndexBytes, `the index of pack "${key}"`)
  const units = decodePackIndex(raw, { key, firstFrameOffset: sealedHeaderBytes, framesEnd: indexOffset })
  return { indexTag: frame.slice(frame.length - tagBytes), units }
}

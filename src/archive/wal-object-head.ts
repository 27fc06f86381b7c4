import { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'

/** What the first frame of a file's object `.00` says. */
export interface WalObjectHead {
  readonly contentBytes: number
  /** The objects `.01`, `.02`, ... that hold the content. None: it follows in this object's other frames. */
  readonly parts: readonly WalPart[]
}

export interface WalPart {
  readonly sealedBytes: number
  /** SHA-256 of the sealed object. */
  readonly digest: Uint8Array
}

/** Of raw content in one frame, and in one of the objects `.01`, `.02`, ... */
export const frameBytes = 4 * 1024 * 1024
export const partBytes = 16 * 1024 * 1024

const headVersion = 1
const mostParts = 99
const largestContentBytes = 1024 * 1024 * 1024
const largestSealedBytes = 64 * 1024 * 1024
const digestBytes = 32

export function encodeWalObjectHead({ contentBytes, parts }: WalObjectHead): Uint8Array {
  const writer = new BinaryWriter()
  writer.u8(headVersion)
  writer.u32(contentBytes)
  writer.u8(parts.length)
  for (const { sealedBytes, digest } of parts) {
    writer.u32(sealedBytes)
    writer.bytes(digest)
  }
  return writer.finish()
}

/** Throws `damaged` for everything that `encodeWalObjectHead` does not write. */
export function decodeWalObjectHead(bytes: Uint8Array, key: string): WalObjectHead {
  const reader = new BinaryReader(bytes, `the head of "${key}"`)
  const version = reader.u8()
  if (version !== headVersion) throw reader.damage(`expected head version ${headVersion}, found ${version}`)
  const contentBytes = reader.u32()
  if (contentBytes > largestContentBytes) {
    throw reader.damage(`expected at most ${largestContentBytes} bytes of content, found ${contentBytes}`)
  }
  const partCount = reader.u8()
  const isPossible = partCount === 0 || partCount === Math.ceil(contentBytes / partBytes)
  if (!isPossible || partCount > mostParts)
    throw reader.damage(`found ${partCount} parts for ${contentBytes} bytes`)
  const parts: WalPart[] = []
  for (let index = 0; index < partCount; index += 1) {
    const sealedBytes = reader.u32()
    if (sealedBytes > largestSealedBytes) throw reader.damage(`found a part of ${sealedBytes} bytes`)
    parts.push({ sealedBytes, digest: reader.bytes(digestBytes).slice() })
  }
  reader.expectEnd()
  return { contentBytes, parts }
}

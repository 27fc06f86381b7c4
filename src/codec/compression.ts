import assert from 'node:assert/strict'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { OperationError } from '../domain/operation-error.ts'
import { releaseMemory } from '../platform/release-memory.ts'

/** What one frame may hold before compression. */
export const largestRawLength = 64 * 1024 * 1024

/** Compression method and raw length stand before the bytes (docs/formats/sealed-object.md). */
const headLength = 5
const methods = { stored: 0, zstd: 1 } as const

/** A frame whose window needs more memory than the largest raw length is not ours: 2^26 bytes. */
const largestWindowLog = 26

/**
 * True for the levels we take: 0 (store as it is), 1 to 19, and the fast ones from -2 to -7. Not -1: Node's zstd takes
 * its value for "not set" and compresses at level 3 without a word.
 */
export function isCompressionLevel(level: number): boolean {
  return Number.isInteger(level) && level >= -7 && level <= 19 && level !== -1
}

/**
 * The payload of a frame, in parts: compressed, or as it is when that is not shorter. The last part may be `raw` itself,
 * so use the parts before `raw` changes.
 */
export function packPayload(raw: Uint8Array, level: number): readonly Uint8Array[] {
  assert.ok(raw.length <= largestRawLength && isCompressionLevel(level))
  const compressed = level === 0 ? raw : compress(raw, level)
  const isShorter = compressed.length < raw.length
  if (!isShorter && compressed !== raw) releaseMemory(compressed)
  const head = Buffer.allocUnsafe(headLength)
  head.writeUInt8(isShorter ? methods.zstd : methods.stored, 0)
  head.writeUInt32LE(raw.length, 1)
  return [head, isShorter ? compressed : raw]
}

/**
 * The raw bytes of a frame's payload; a view of it when they were stored. Throws `damaged` unless there are exactly as
 * many as the payload says, and at most `limitBytes`: more is never decompressed. `description` finishes
 * "reading ...".
 */
export function unpackPayload(
  payload: Uint8Array,
  limitBytes = largestRawLength,
  description = 'a frame',
): Uint8Array {
  const reading = `reading ${description}`
  if (payload.length < headLength) throw damage(reading, `its payload has ${payload.length} bytes`)
  const head = Buffer.from(payload.buffer, payload.byteOffset, headLength)
  const method = head.readUInt8(0)
  const rawLength = head.readUInt32LE(1)
  const limit = Math.min(limitBytes, largestRawLength)
  if (rawLength > limit)
    throw damage(reading, `expected at most ${limit} bytes, found a raw length of ${rawLength}`)
  const raw = expand(method, payload.subarray(headLength), { reading, rawLength })
  if (raw.length !== rawLength) throw damage(reading, `expected ${rawLength} raw bytes, found ${raw.length}`)
  return raw
}

function compress(raw: Uint8Array, level: number): Uint8Array {
  // One output chunk that holds the worst case (ZSTD_compressBound) and a byte to spare: the call needs no second one.
  // The seal protects the bytes, so zstd's own checksum would be paid for twice.
  const chunkSize = raw.length + (raw.length >>> 8) + 1024
  const params = { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 0 }
  return zstdCompressSync(raw, { chunkSize, params })
}

interface Expected {
  readonly reading: string
  readonly rawLength: number
}

function expand(method: number, bytes: Uint8Array, { reading, rawLength }: Expected): Uint8Array {
  if (method === methods.stored) return bytes
  // An empty payload is always stored, so zstd has something to give.
  if (method !== methods.zstd || rawLength === 0)
    throw damage(reading, `found the compression method ${method}`)
  try {
    return zstdDecompressSync(bytes, {
      chunkSize: rawLength + 1024,
      maxOutputLength: rawLength,
      params: { [constants.ZSTD_d_windowLogMax]: largestWindowLog },
    })
  } catch (cause) {
    throw damage(reading, `expected ${rawLength} bytes compressed by zstd`, cause)
  }
}

function damage(reading: string, found: string, cause?: unknown): OperationError {
  return new OperationError('damaged', `${reading}: ${found}`, cause === undefined ? {} : { cause })
}

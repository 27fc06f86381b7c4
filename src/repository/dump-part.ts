import assert from 'node:assert/strict'
import { packPayload, unpackPayload } from '../codec/compression.ts'
import {
  createObjectSealer,
  openSealedObject,
  sealedFrameOverhead,
  sealedHeaderBytes,
  type ObjectIdentity,
} from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import { dumpFrameBytes, dumpPartBytes, type DumpPart } from './dump-head.ts'
import type { PartSealingSetup, RawPart } from './dump-part-protocol.ts'

const tagBytes = 16
const payloadHeadBytes = 5

/** A part that was sealed and is to be stored. */
export interface SealedPart {
  readonly bytes: Uint8Array
  readonly part: DumpPart
}

/** What a part of so many bytes takes when nothing of it can be compressed. */
export const mostSealedBytes = (rawBytes: number): number =>
  sealedHeaderBytes +
  rawBytes +
  Math.ceil(rawBytes / dumpFrameBytes) * (payloadHeadBytes + sealedFrameOverhead)

/**
 * Writes a part to the beginning of `sealed`. Each frame is compressed by itself, or stored as it is where that is not
 * shorter.
 */
export function sealDumpPart(
  { number, key, level, raw, sealed }: RawPart,
  { keys }: Pick<PartSealingSetup, 'keys'>,
): DumpPart {
  assert.ok(raw.length > 0 && raw.length <= dumpPartBytes && sealed.length >= mostSealedBytes(raw.length))
  const sealer = createObjectSealer({ keys, key, kind: 'dump-part' })
  let sizeBytes = 0
  const append = (piece: Uint8Array): void => {
    sealed.set(piece, sizeBytes)
    sizeBytes += piece.length
  }
  append(sealer.header)
  for (let offset = 0; offset < raw.length; offset += dumpFrameBytes) {
    const payload = packPayload(raw.subarray(offset, offset + dumpFrameBytes), level)
    const pieces = sealer.sealFrame(payload, offset + dumpFrameBytes >= raw.length)
    for (const piece of pieces) append(piece)
    for (const piece of [...payload, ...pieces])
      if (piece.buffer !== raw.buffer && piece.byteLength > 0) releaseMemory(piece)
  }
  return { number, sizeBytes, rawBytes: raw.length, tag: dumpPartTag(sealed.subarray(0, sizeBytes)) }
}

/**
 * The raw bytes of a part that was read, frame by frame, each after its seal was checked. Throws `damaged` when it is not the
 * part that its dump means, and as soon as a frame is not as it must be.
 */
export function* openDumpPart(
  sealed: Uint8Array,
  part: DumpPart,
  identity: Omit<ObjectIdentity, 'kind'>,
): Generator<Uint8Array, void> {
  for (const { payload, raw } of openFrames(sealed, part, identity)) {
    if (raw.buffer !== payload.buffer && payload.buffer !== sealed.buffer) releaseMemory(payload)
    yield raw
  }
}

interface Resealing {
  readonly from: Omit<ObjectIdentity, 'kind'>
  readonly to: Omit<ObjectIdentity, 'kind'>
  /** Gets the raw bytes in order, each piece after its seal was checked; they are gone when it returns. */
  readonly onRaw: (raw: Uint8Array) => void
}

/** The same part for another repository, as it was compressed. Throws `damaged` as `openDumpPart` does. */
export function resealDumpPart(
  sealed: Uint8Array,
  part: DumpPart,
  { from, to, onRaw }: Resealing,
): SealedPart {
  const sealer = createObjectSealer({ ...to, kind: 'dump-part' })
  const bytes = Buffer.allocUnsafe(sealed.length) // a seal takes as much in every repository
  let sizeBytes = 0
  const append = (piece: Uint8Array): void => {
    bytes.set(piece, sizeBytes)
    sizeBytes += piece.length
  }
  append(sealer.header)
  const frames = openFrames(sealed, part, from)
  for (let frame = frames.next(); frame.done !== true;) {
    const { payload, raw } = frame.value
    onRaw(raw)
    const following = frames.next()
    const pieces = sealer.sealFrame([payload], following.done === true)
    for (const piece of pieces) append(piece)
    for (const piece of [raw, payload, ...pieces])
      if (piece.buffer !== sealed.buffer && piece.byteLength > 0) releaseMemory(piece)
    frame = following
  }
  assert.equal(sizeBytes, bytes.length)
  return { bytes, part: { ...part, tag: dumpPartTag(bytes) } }
}

interface OpenFrame {
  readonly payload: Uint8Array
  /** May lie in the payload, and that in the sealed part. */
  readonly raw: Uint8Array
}

function* openFrames(
  sealed: Uint8Array,
  part: DumpPart,
  identity: Omit<ObjectIdentity, 'kind'>,
): Generator<OpenFrame, void> {
  const { key } = identity
  if (sealed.length !== part.sizeBytes || dumpPartTag(sealed) !== part.tag)
    throw damaged(key, 'it is not the part that its dump means')
  let rawBytes = 0
  for (const payload of openSealedObject(sealed, { ...identity, kind: 'dump-part' })) {
    const raw = unpackPayload(payload, dumpFrameBytes, `"${key}"`)
    rawBytes += raw.length
    if (rawBytes > part.rawBytes) break
    yield { payload, raw }
  }
  if (rawBytes !== part.rawBytes)
    throw damaged(key, `expected ${part.rawBytes} bytes of content, found ${rawBytes}`)
}

/** By which the head of a dump means a stored part. */
export const dumpPartTag = (sealed: Uint8Array): string =>
  Buffer.from(sealed.subarray(-tagBytes)).toString('hex')

function damaged(key: string, found: string): OperationError {
  return new OperationError('damaged', `reading "${key}": ${found}`)
}

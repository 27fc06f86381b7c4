import assert from 'node:assert/strict'
import { freshSalt } from '../platform/random.ts'
import { packPayload, unpackPayload } from './compression.ts'
import { createFrameSeal, tagLength, type FrameSeal } from './frame-seal.ts'
import {
  damagedObject,
  decodeObjectHeader,
  encodeObjectHeader,
  headerLength,
  type ObjectIdentity,
} from './object-header.ts'

export type { ObjectIdentity, ObjectKind, SealingKeys, SealingMethod } from './object-header.ts'

/** The length field that stands before a frame, and how much longer than its payload a frame is with it. */
const lengthField = 4
export const sealedFrameOverhead = lengthField + tagLength
export const sealedHeaderBytes = headerLength

/** Control objects are small; for them a better ratio costs nothing. */
const singleFrameLevel = 3

/** Writes one object: its header first, then frames in order. */
export interface ObjectSealer {
  /** 32 bytes. */
  readonly header: Uint8Array
  /**
   * The next frame, in parts to be written one after the other. Parts may be the payload's own, so use them before it
   * changes. After the last frame there is no other.
   */
  sealFrame(payload: readonly Uint8Array[], isLast: boolean): readonly Uint8Array[]
}

/**
 * Begins an object. A salt must never be used twice with one epoch and key, or both objects could be read; only golden
 * files give one.
 */
export function createObjectSealer(identity: ObjectIdentity, salt: Uint8Array = freshSalt()): ObjectSealer {
  const header = encodeObjectHeader(identity, salt)
  const seal = createFrameSeal(header, identity)
  let nextIndex = 0
  let isComplete = false
  return {
    header,
    sealFrame(payload, isLast) {
      assert.ok(!isComplete)
      const sealed = seal.seal(payload, { index: nextIndex, isLast })
      nextIndex += 1
      isComplete = isLast
      const length = Buffer.allocUnsafe(lengthField)
      length.writeUInt32LE(sealed.reduce((sum, part) => sum + part.length, 0))
      return [length, ...sealed]
    },
  }
}

/** Opens frames of one object that are read by themselves, in any order. */
export class ObjectOpener {
  readonly key: string
  readonly #seal: FrameSeal

  /**
   * `object` is the object or at least its header. Throws `damaged` when it is not the object that `identity` names,
   * `format-newer` and `key-missing`.
   */
  constructor(object: Uint8Array, identity: ObjectIdentity) {
    this.key = identity.key
    this.#seal = createFrameSeal(decodeObjectHeader(object, identity), identity)
  }

  /**
   * The payload of a whole frame, length field and all. Throws `damaged`, also when it is not the frame with that index,
   * or is the last one and should not be, or the other way round.
   */
  openFrame(frame: Uint8Array, index: number, isLast: boolean): Uint8Array {
    if (frameEnd(frame, 0, this.key) !== frame.length) {
      throw damagedObject(
        this.key,
        `expected frame ${index} to have ${frame.length} bytes, its length says otherwise`,
      )
    }
    return this.#seal.open(frame.subarray(lengthField), { index, isLast })
  }
}

/**
 * The payloads of a whole object's frames, in order. Throws like `ObjectOpener`; the last frame must end where the
 * object ends.
 */
export function openSealedObject(object: Uint8Array, identity: ObjectIdentity): Generator<Uint8Array, void> {
  return openFrames(object, new ObjectOpener(object, identity))
}

function* openFrames(object: Uint8Array, opener: ObjectOpener): Generator<Uint8Array, void> {
  let offset = headerLength
  for (let index = 0; index === 0 || offset < object.length; index += 1) {
    const end = frameEnd(object, offset, opener.key)
    yield opener.openFrame(object.subarray(offset, end), index, end === object.length)
    offset = end
  }
}

/** Compresses and seals `raw` as an object of one frame. */
export function sealSingle(
  raw: Uint8Array,
  identity: ObjectIdentity,
  level: number = singleFrameLevel,
): Uint8Array {
  const sealer = createObjectSealer(identity)
  return Buffer.concat([sealer.header, ...sealer.sealFrame(packPayload(raw, level), true)])
}

/** The raw bytes of an object of one frame. Throws `damaged` when they are more than `limitBytes`. */
export function openSingle(object: Uint8Array, identity: ObjectIdentity, limitBytes?: number): Uint8Array {
  const [payload, ...others] = openSealedObject(object, identity)
  if (payload === undefined || others.length > 0) {
    throw damagedObject(identity.key, `expected one frame, found ${others.length + 1}`)
  }
  return unpackPayload(payload, limitBytes, `"${identity.key}"`)
}

/** Where the frame that begins at `offset` ends. */
function frameEnd(bytes: Uint8Array, offset: number, key: string): number {
  const remaining = bytes.length - offset
  const length =
    remaining < lengthField
      ? 0
      : Buffer.from(bytes.buffer, bytes.byteOffset + offset, lengthField).readUInt32LE()
  if (length < tagLength || length > remaining - lengthField) {
    throw damagedObject(key, `expected a whole frame at byte ${offset}, found ${remaining} bytes`)
  }
  return offset + lengthField + length
}

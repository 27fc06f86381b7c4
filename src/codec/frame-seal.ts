import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { digestOf, equalBytes } from './digest.ts'
import { deriveKey } from './keyed-digest.ts'
import { damagedObject, epochOf, saltOf, type ObjectIdentity } from './object-header.ts'

/** S3's limit of 1024 bytes leaves room for a prefix; HKDF's limit of 1024 for the info is met too. */
const longestKeyBytes = 1000
const cipher = 'aes-256-gcm'
const objectKeyLength = 32
const nonceLength = 12
export const tagLength = 16

/** Where a frame stands in its object. Bound by the tag: frames cannot be cut off, moved, repeated or added. */
interface FramePlace {
  readonly index: number
  readonly isLast: boolean
}

/** Seals and opens the frames of one object. */
export interface FrameSeal {
  /** The sealed payload and its tag, in parts. A part may be a payload part itself. */
  seal(payload: readonly Uint8Array[], place: FramePlace): readonly Uint8Array[]
  /** The payload, after its tag was found right. Throws `damaged`. */
  open(sealed: Uint8Array, place: FramePlace): Uint8Array
}

/** Derives the object's own key, so that frame numbers can be the nonces. */
export function createFrameSeal(header: Buffer, identity: ObjectIdentity): FrameSeal {
  const bind = createBinding(header, identity)
  const { key, keys } = identity
  if (keys.method === 'none') return createPlainSeal(bind, key)
  const epochKey = keys.epochs.get(epochOf(header))
  assert.ok(epochKey?.length === objectKeyLength)
  const info = `holdfast object v1\0${key}`
  return createCipherSeal(
    bind,
    key,
    deriveKey(epochKey, { salt: saltOf(header), info, length: objectKeyLength }),
  )
}

type Binding = (place: FramePlace) => Buffer

/** The associated data: everything a frame must not be moved away from. One buffer, rewritten for every frame. */
function createBinding(header: Buffer, { key, keys }: ObjectIdentity): Binding {
  const keyBytes = Buffer.from(key)
  assert.ok(keyBytes.length <= longestKeyBytes && keys.repositoryId.length === 16)
  const keyLength = Buffer.alloc(2)
  keyLength.writeUInt16LE(keyBytes.length)
  const data = Buffer.concat([header, keys.repositoryId, keyLength, keyBytes, Buffer.alloc(5)])
  const placeOffset = data.length - 5
  return ({ index, isLast }) => {
    data.writeUInt32LE(index, placeOffset)
    data.writeUInt8(isLast ? 1 : 0, placeOffset + 4)
    return data
  }
}

function createCipherSeal(bind: Binding, key: string, objectKey: Uint8Array): FrameSeal {
  const options = { authTagLength: tagLength }
  return {
    seal(payload, place) {
      const sealing = createCipheriv(cipher, objectKey, nonceOf(place.index), options)
      sealing.setAAD(bind(place))
      const parts = payload.map((part) => sealing.update(part))
      sealing.final() // nothing left: GCM is a stream cipher
      return [...parts, sealing.getAuthTag()]
    },
    open(sealed, place) {
      const opening = createDecipheriv(cipher, objectKey, nonceOf(place.index), options)
      opening.setAAD(bind(place))
      opening.setAuthTag(sealed.subarray(sealed.length - tagLength))
      const payload = opening.update(sealed.subarray(0, sealed.length - tagLength))
      try {
        opening.final()
      } catch (cause) {
        throw sealMismatch(key, place, cause)
      }
      return payload
    },
  }
}

/** Without sealing the tag is a digest: it finds accidents, not an attacker. */
function createPlainSeal(bind: Binding, key: string): FrameSeal {
  const tagOf = (payload: readonly Uint8Array[], place: FramePlace): Uint8Array =>
    digestOf(bind(place), ...payload).subarray(0, tagLength)
  return {
    seal: (payload, place) => [...payload, tagOf(payload, place)],
    open(sealed, place) {
      const payload = sealed.subarray(0, sealed.length - tagLength)
      if (!equalBytes(tagOf([payload], place), sealed.subarray(sealed.length - tagLength))) {
        throw sealMismatch(key, place)
      }
      return payload
    },
  }
}

function nonceOf(index: number): Buffer {
  const nonce = Buffer.alloc(nonceLength)
  nonce.writeUInt32LE(index, 8)
  return nonce
}

function sealMismatch(key: string, { index, isLast }: FramePlace, cause?: unknown): Error {
  const frame = isLast ? `frame ${index}, the last one` : `frame ${index}`
  return damagedObject(
    key,
    `its seal does not match (${frame}): it was changed, cut or moved, or is of another repository`,
    cause,
  )
}

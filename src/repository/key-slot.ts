import { createCipheriv, createDecipheriv } from 'node:crypto'
import { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { equalBytes } from '../codec/digest.ts'
import {
  assertScryptBounds,
  defaultScryptParameters,
  keyFromKeyFile,
  keyFromPassphrase,
} from '../codec/passphrase-key.ts'
import { OperationError } from '../domain/operation-error.ts'
import { randomBytes } from '../platform/random.ts'
import { refuseNewerFormat, repositoryMagic } from './repository-header.ts'

/** What opens a repository: the content of a key file, or a passphrase. Never logged, never part of an error. */
export type Unlocker =
  | { readonly kind: 'key-file'; readonly secret: Uint8Array }
  | { readonly kind: 'passphrase'; readonly passphrase: string }

const slotKind = 9
const kinds = ['passphrase', 'key-file'] as const
const cipher = 'aes-256-gcm'

/** Byte lengths; docs/formats/repository.md describes the slot. */
const lengths = { salt: 32, nonce: 12, rootKey: 32, tag: 16 } as const

/**
 * Wraps the root key for one way of unlocking. The repository header is part of the associated data, so a slot opens
 * only the repository it was made for, and a header that was changed (to another sealing method, say) opens nothing.
 */
export async function sealKeySlot(
  rootKey: Uint8Array,
  unlocker: Unlocker,
  headerBytes: Uint8Array,
): Promise<Uint8Array> {
  const salt = randomBytes(lengths.salt)
  const { log2N, r, p } = defaultScryptParameters
  const writer = new BinaryWriter()
  writer.bytes(repositoryMagic)
  writer.u8(1)
  writer.u8(slotKind)
  writer.u8(kinds.indexOf(unlocker.kind))
  writer.u8(unlocker.kind === 'passphrase' ? log2N : 0)
  writer.u8(unlocker.kind === 'passphrase' ? r : 0)
  writer.u8(unlocker.kind === 'passphrase' ? p : 0)
  writer.bytes(salt)
  writer.bytes(randomBytes(lengths.nonce))
  const head = writer.finish()
  const wrap = createCipheriv(
    cipher,
    await wrappingKey(unlocker, { log2N, r, p }, salt),
    head.subarray(-lengths.nonce),
  )
  wrap.setAAD(Buffer.concat([head, headerBytes]))
  return Buffer.concat([head, wrap.update(rootKey), wrap.final(), wrap.getAuthTag()])
}

/**
 * The root key, or undefined when this slot is not for this unlocker (of the other kind, or its secret does not fit).
 * Throws `damaged` for bytes that are no slot or ask for key derivation outside the bounds.
 */
export async function openKeySlot(
  bytes: Uint8Array,
  unlocker: Unlocker,
  { headerBytes, key }: { headerBytes: Uint8Array; key: string },
): Promise<Uint8Array | undefined> {
  const { kind, parameters, salt, nonce, head, wrapped, tag } = parseKeySlot(bytes, key)
  if (kind !== unlocker.kind) return undefined
  const unwrap = createDecipheriv(cipher, await wrappingKey(unlocker, parameters, salt), nonce)
  unwrap.setAAD(Buffer.concat([head, headerBytes]))
  unwrap.setAuthTag(tag)
  const rootKey = unwrap.update(wrapped)
  try {
    unwrap.final()
  } catch {
    return undefined // the tag says that the secret is another one: an expected answer, the next slot may fit
  }
  return rootKey
}

/** What opens the slot, as it says itself: nothing of that is proven. Throws as `openKeySlot` does. */
export function keySlotKind(bytes: Uint8Array, key: string): Unlocker['kind'] {
  return parseKeySlot(bytes, key).kind
}

function parseKeySlot(bytes: Uint8Array, key: string) {
  const description = `the key slot "${key}"`
  const reading = `reading ${description}`
  const reader = new BinaryReader(bytes, description)
  const isSlot = equalBytes(reader.bytes(repositoryMagic.length), repositoryMagic)
  refuseNewerFormat(reader.u8(), reading)
  const kind = reader.u8() === slotKind && isSlot ? kinds[reader.u8()] : undefined
  if (kind === undefined) throw new OperationError('damaged', `${reading}: it is not a key slot`)
  const parameters = { log2N: reader.u8(), r: reader.u8(), p: reader.u8() }
  if (kind === 'passphrase') assertScryptBounds(parameters, reading)
  const salt = reader.bytes(lengths.salt)
  const nonce = reader.bytes(lengths.nonce)
  const head = bytes.subarray(0, bytes.length - reader.remaining)
  const wrapped = reader.bytes(lengths.rootKey)
  const tag = reader.bytes(lengths.tag)
  reader.expectEnd()
  return { kind, parameters, salt, nonce, head, wrapped, tag }
}

function wrappingKey(
  unlocker: Unlocker,
  parameters: { log2N: number; r: number; p: number },
  salt: Uint8Array,
): Promise<Uint8Array> {
  return unlocker.kind === 'passphrase'
    ? keyFromPassphrase(unlocker.passphrase, parameters, salt)
    : Promise.resolve(keyFromKeyFile(unlocker.secret, salt))
}

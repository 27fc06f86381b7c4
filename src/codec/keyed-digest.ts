import { createHmac, hkdfSync, type Hmac } from 'node:crypto'

const nameBytes = 16

/**
 * HMAC-SHA-256 of the parts one after the other, its first 16 bytes as 32 hexadecimal digits: for names made from
 * content. Without the key nobody can tell from a name what the content is.
 */
export function keyedDigest(key: Uint8Array, ...parts: readonly Uint8Array[]): string {
  const hmac = createHmac('sha256', key)
  for (const part of parts) hmac.update(part)
  return hmac.digest().subarray(0, nameBytes).toString('hex')
}

/** The same of bytes that come piece by piece. */
export class KeyedDigest {
  readonly #hmac: Hmac

  constructor(key: Uint8Array) {
    this.#hmac = createHmac('sha256', key)
  }

  update(bytes: Uint8Array): void {
    this.#hmac.update(bytes)
  }

  /** 32 hexadecimal digits. May be called once. */
  finish(): string {
    return this.#hmac.digest().subarray(0, nameBytes).toString('hex')
  }
}

interface Derivation {
  readonly salt: Uint8Array
  /** What the key is for: at most 1024 bytes, as UTF-8 if it is text. */
  readonly info: Uint8Array | string
  readonly length: number
}

/** A key of `length` bytes from one with enough entropy: HKDF-SHA-256 (RFC 5869). */
export function deriveKey(inputKey: Uint8Array, { salt, info, length }: Derivation): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', inputKey, salt, info, length))
}

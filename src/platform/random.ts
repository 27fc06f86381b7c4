import * as crypto from 'node:crypto'

/** Unpredictable bytes from the operating system. The only place that asks for randomness. */
export function randomBytes(length: number): Uint8Array {
  return new Uint8Array(crypto.randomBytes(length))
}

/** A salt of 16 bytes that no other object has. */
export function freshSalt(): Uint8Array {
  return randomBytes(16)
}

/** A name that nothing else has: 32 hexadecimal digits. */
export function freshName(): string {
  return crypto.randomBytes(16).toString('hex')
}

/** A whole number from 0 up to, but not including, `end`: at least 1, less than 2^48. Each as likely as the others. */
export function randomBelow(end: number): number {
  return crypto.randomInt(end)
}

import { scrypt } from 'node:crypto'
import { OperationError } from '../domain/operation-error.ts'
import { deriveKey } from './keyed-digest.ts'

/** What making a key out of a passphrase costs (RFC 7914). Memory: 128 * r * 2^log2N bytes. */
export interface ScryptParameters {
  readonly log2N: number
  readonly r: number
  readonly p: number
}

/** 128 MiB and about half a second. */
export const defaultScryptParameters: ScryptParameters = { log2N: 17, r: 8, p: 1 }

/**
 * Whoever can write to the store can write a key slot. Below the floor a passphrase could be guessed from a slot made
 * cheap; above the ceiling (1 GiB, minutes) opening the repository would stop the host.
 */
const bounds = { log2N: [15, 20], r: [8, 8], p: [1, 4] } as const

const keyBytes = 32
const leastKeyFileBytes = 32
const keyFilePurpose = 'holdfast key file v1'

/** Throws `damaged` for parameters that no key slot of ours has. `reading` begins the message. */
export function assertScryptBounds(parameters: ScryptParameters, reading: string): void {
  for (const name of ['log2N', 'r', 'p'] as const) {
    const [least, most] = bounds[name]
    const found = parameters[name]
    if (Number.isInteger(found) && found >= least && found <= most) continue
    throw new OperationError(
      'damaged',
      `${reading}: expected the scrypt parameter ${name} to be from ${least} to ${most}, found ${found}`,
      { hint: 'Nothing was derived from it. Find out who wrote it: this version would not.' },
    )
  }
}

/**
 * The key of a passphrase, 32 bytes. The passphrase is taken in Unicode's composed form (NFC), so that it does not
 * depend on the keyboard it was typed on. Throws `damaged` for parameters out of bounds.
 */
export async function keyFromPassphrase(
  passphrase: string,
  parameters: ScryptParameters,
  salt: Uint8Array,
): Promise<Uint8Array> {
  assertScryptBounds(parameters, 'deriving a key from a passphrase')
  const { log2N, r, p } = parameters
  const cost = 2 ** log2N
  const options = { cost, blockSize: r, parallelization: p, maxmem: 128 * r * (cost + p + 2) }
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  scrypt(passphrase.normalize('NFC'), salt, keyBytes, options, (error, key) => {
    if (error === null) resolve(new Uint8Array(key))
    else reject(error)
  })
  return promise
}

/** The key of a key file's content, 32 bytes. Throws `config-invalid` for a file too short to be a secret. */
export function keyFromKeyFile(secret: Uint8Array, salt: Uint8Array): Uint8Array {
  if (secret.length < leastKeyFileBytes) {
    throw new OperationError(
      'config-invalid',
      `deriving a key from a key file: expected at least ${leastKeyFileBytes} bytes, found ${secret.length}`,
      { hint: 'Make one with "openssl rand -out FILE 32".' },
    )
  }
  return deriveKey(secret, { salt, info: keyFilePurpose, length: keyBytes })
}

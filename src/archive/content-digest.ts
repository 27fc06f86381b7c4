import { createHmac, type Hmac } from 'node:crypto'

const nameBytes = 16

/**
 * The digest that names an archived file's content, taken piece by piece: what `keyedDigest` gives for the file's name in
 * UTF-8 and all of its content.
 */
export class ContentDigest {
  readonly #hmac: Hmac

  constructor(namesKey: Uint8Array, fileName: string) {
    this.#hmac = createHmac('sha256', namesKey).update(fileName, 'utf8')
  }

  update(bytes: Uint8Array): void {
    this.#hmac.update(bytes)
  }

  /** 32 hexadecimal digits. May be called once. */
  finish(): string {
    return this.#hmac.digest().subarray(0, nameBytes).toString('hex')
  }
}

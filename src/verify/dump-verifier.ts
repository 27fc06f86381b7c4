import { KeyedDigest } from '../codec/keyed-digest.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import type { DumpPart } from '../repository/dump-head.ts'
import { openDumpPart } from '../repository/dump-part.ts'
import type { VerifySetup } from './verify-protocol.ts'

/** Proves members of dumps, part by part: the seal of each frame, and in the end all bytes by their digest. */
export class DumpVerifier {
  readonly #setup: VerifySetup
  #digest: KeyedDigest

  constructor(setup: VerifySetup) {
    this.#setup = setup
    this.#digest = new KeyedDigest(setup.namesKey)
  }

  /** Begins a member. */
  open(): void {
    this.#digest = new KeyedDigest(this.#setup.namesKey)
  }

  /** Gives how many bytes of content the part holds. Throws `damaged`. */
  addPart({
    key,
    part,
    bytes,
  }: {
    readonly key: string
    readonly part: DumpPart
    readonly bytes: Uint8Array
  }): number {
    for (const raw of openDumpPart(bytes, part, { keys: this.#setup.keys, key })) {
      this.#digest.update(raw)
      if (raw.buffer !== bytes.buffer) releaseMemory(raw)
    }
    return part.rawBytes
  }

  /** Throws `damaged` when the bytes of all parts are not those that were dumped. */
  close({
    key,
    name,
    digest,
  }: {
    readonly key: string
    readonly name: string
    readonly digest: string
  }): void {
    if (this.#digest.finish() === digest) return
    const found = `the bytes of its member ${quote(name)} are not those that were dumped`
    throw new OperationError('damaged', `reading dump "${key}": ${found}`)
  }
}

import assert from 'node:assert/strict'
import { extname } from 'node:path'
import { keyedDigest } from '../codec/keyed-digest.ts'
import { WorkerPool } from '../platform/worker-pool.ts'
import { dumpFrameBytes, dumpPartBytes, type DumpPart } from './dump-head.ts'
import type {
  PartSealingRequest,
  PartSealingResponse,
  PartSealingSetup,
  RawPart,
} from './dump-part-protocol.ts'
import { mostSealedBytes, sealDumpPart, type SealedPart } from './dump-part.ts'

const workerScript = new URL(`./dump-part-worker${extname(import.meta.filename)}`, import.meta.url)

export interface FilledPart {
  readonly number: number
  readonly key: string
  /** zstd level. 0: it is compressed already. */
  readonly level: number
  /** From `takeBuffer`. */
  readonly buffer: Uint8Array
  /** So many bytes at its beginning are the part. */
  readonly rawBytes: number
  /** The member has no other part. */
  readonly isOnly: boolean
}

/** The parts of one member in their order. Rejects with the reason of an abort. */
export interface MemberSealer {
  /** The sealed part, until `release`. Nobody may use the buffer any more. */
  seal(part: FilledPart): Promise<SealedPart>
  /** Of all its bytes, after its last part was given to `seal`. */
  digest(): Promise<string>
}

/**
 * Compresses, seals and digests the parts of a dump in a thread, beside the reading of what follows: one thread, because a
 * digest is made of parts in their order; it is faster than a pg_dump. All memory is shared and used again, so that the
 * collector has nothing to do with it.
 */
export class DumpSealer implements AsyncDisposable {
  readonly #setup: PartSealingSetup
  readonly #pool: WorkerPool<PartSealingRequest, PartSealingResponse>
  readonly #spareRaw: Uint8Array[] = []
  readonly #spareSealed: Uint8Array[] = []
  #memberCount = 0

  constructor(setup: PartSealingSetup) {
    this.#setup = setup
    this.#pool = new WorkerPool({ script: workerScript, size: 1, workerData: setup })
  }

  /** A buffer for one part, until it is given to a sealer or to `giveBack`. */
  takeBuffer(): Uint8Array {
    return this.#spareRaw.pop() ?? new Uint8Array(new SharedArrayBuffer(dumpPartBytes))
  }

  /** Nobody may use the buffer any more. */
  giveBack(buffer: Uint8Array): void {
    this.#spareRaw.push(buffer)
  }

  openMember(signal: AbortSignal): MemberSealer {
    this.#memberCount += 1
    const member = this.#memberCount
    let rawBytes = 0
    let shortDigest: string | undefined
    return {
      seal: async (filled) => {
        rawBytes += filled.rawBytes
        const raw = this.#rawPart(filled)
        const isShort = filled.isOnly && filled.rawBytes <= dumpFrameBytes // to start the thread would take longer
        if (isShort) shortDigest = keyedDigest(this.#setup.namesKey, raw.raw)
        const part = isShort ? sealDumpPart(raw, this.#setup) : await this.#sealBeside(member, raw, signal)
        this.giveBack(filled.buffer)
        return { bytes: raw.sealed.subarray(0, part.sizeBytes), part }
      },
      digest: async () => {
        if (rawBytes === 0) return keyedDigest(this.#setup.namesKey)
        if (shortDigest !== undefined) return shortDigest
        const answer = await this.#pool.run({ kind: 'end', member }, { signal })
        assert.ok(answer.kind === 'end' && answer.rawBytes === rawBytes)
        return answer.digest
      },
    }
  }

  /** The bytes were used, and nobody may read them any more. */
  release({ bytes }: SealedPart): void {
    this.#spareSealed.push(new Uint8Array(bytes.buffer))
  }

  /** Parts that are not sealed yet are given up. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]()
    for (const spare of [this.#spareRaw, this.#spareSealed]) spare.length = 0
  }

  async #sealBeside(member: number, part: RawPart, signal: AbortSignal): Promise<DumpPart> {
    const answer = await this.#pool.run({ kind: 'part', member, part }, { signal })
    assert.ok(answer.kind === 'part')
    return answer.part
  }

  #rawPart({ number, key, level, buffer, rawBytes }: FilledPart): RawPart {
    const sealed = this.#spareSealed.pop() ?? new Uint8Array(new SharedArrayBuffer(mostSealedBytes))
    return { number, key, level, raw: buffer.subarray(0, rawBytes), sealed }
  }
}

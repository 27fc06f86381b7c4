import assert from 'node:assert/strict'
import { extname } from 'node:path'
import { keyedDigest } from '../codec/keyed-digest.ts'
import { WorkerPool } from '../platform/worker-pool.ts'
import { writtenPartBytes } from './dump-head.ts'
import type { PartSealingRequest, PartSealingResponse, PartSealingSetup } from './dump-part-protocol.ts'
import { mostSealedBytes, sealDumpPart, type SealedPart } from './dump-part.ts'

const workerScript = new URL(`./dump-part-worker${extname(import.meta.filename)}`, import.meta.url)
const longestSealed = mostSealedBytes(writtenPartBytes)

/** Which part of a dump, where it goes, and how it is compressed. */
export interface PartPlace {
  readonly number: number
  readonly key: string
  /** zstd level. 0: it is compressed already. */
  readonly level: number
}

/** The parts of one member in their order. Rejects with the reason of an abort. */
interface MemberSealer {
  /** The sealed part, until `release`. `raw` lies at the beginning of a taken buffer, which nobody may use any more. */
  seal(place: PartPlace, raw: Uint8Array): Promise<SealedPart>
  /** Of all its bytes, after its last part was given to `seal`. */
  digest(): Promise<string>
}

/**
 * Compresses, seals and digests the parts of a dump in a thread, beside the reading of what follows: one thread, because a
 * digest is made of parts in their order; it is faster than a pg_dump. Its memory is shared and used again, so that the
 * collector has nothing to do with it, which would not see how much it is.
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

  /** A buffer for one part, until it is given to a sealer. */
  takeBuffer(): Uint8Array {
    return this.#spareRaw.pop() ?? new Uint8Array(new SharedArrayBuffer(writtenPartBytes))
  }

  /** For a member that is longer than `sealShort` is good for. */
  openMember(signal: AbortSignal): MemberSealer {
    this.#memberCount += 1
    const member = this.#memberCount
    let rawBytes = 0
    return {
      seal: async (place, raw) => {
        rawBytes += raw.length
        const sealed = this.#spareSealed.pop() ?? new Uint8Array(new SharedArrayBuffer(longestSealed))
        const answer = await this.#pool.run(
          { kind: 'part', member, part: { ...place, raw, sealed } },
          { signal },
        )
        assert.ok(answer.kind === 'part')
        this.#spareRaw.push(new Uint8Array(raw.buffer))
        return { bytes: sealed.subarray(0, answer.part.sizeBytes), part: answer.part }
      },
      digest: async () => {
        const answer = await this.#pool.run({ kind: 'end', member }, { signal })
        assert.ok(answer.kind === 'end' && answer.rawBytes === rawBytes)
        return answer.digest
      },
    }
  }

  /** A member of one short part, right here: to start the thread takes longer, and a part of full length much memory. */
  sealShort(place: PartPlace, raw: Uint8Array): { readonly sealed: SealedPart; readonly digest: string } {
    const sealed = Buffer.allocUnsafeSlow(mostSealedBytes(raw.length))
    const part = sealDumpPart({ ...place, raw, sealed }, this.#setup)
    const digest = keyedDigest(this.#setup.namesKey, raw)
    return { sealed: { bytes: sealed.subarray(0, part.sizeBytes), part }, digest }
  }

  /** The bytes were used, and nobody may read them any more. */
  release({ bytes }: SealedPart): void {
    if (bytes.buffer instanceof SharedArrayBuffer) this.#spareSealed.push(new Uint8Array(bytes.buffer))
  }

  /** Parts that are not sealed yet are given up. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]()
    for (const spare of [this.#spareRaw, this.#spareSealed]) spare.length = 0
  }
}

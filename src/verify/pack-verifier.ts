import { equalBytes } from '../codec/digest.ts'
import { createPageKernel, type PageKernel } from '../codec/page-kernel.ts'
import { OperationError } from '../domain/operation-error.ts'
import { hashCountOf, type Unit } from '../repository/pack-index.ts'
import { PackReader } from '../repository/pack-reader.ts'
import { largestUnitBytes } from '../repository/pack-writer.ts'
import type { PackNeeds, VerifySetup } from './verify-protocol.ts'

/**
 * Proves a pack that is in memory: the seal of its index and of each unit, what decompression gives, the hash of every
 * block, that it is the pack that the manifests mean, and that their runs of bytes lie within its units.
 */
export class PackVerifier {
  readonly #setup: VerifySetup
  readonly #kernel: PageKernel
  readonly #hashes = new BigUint64Array(hashCountOf(largestUnitBytes))

  constructor(setup: VerifySetup) {
    this.#setup = setup
    this.#kernel = createPageKernel({ inputBytes: largestUnitBytes, seed: setup.blockHashSeed })
  }

  /** Gives how many bytes of content the pack holds. Throws `damaged` for the first thing that is wrong. */
  verify(key: string, bytes: Uint8Array, needs: PackNeeds | undefined): number {
    const pack = new PackReader(bytes, { keys: this.#setup.keys, key })
    if (needs !== undefined && !equalBytes(pack.indexTag, needs.indexTag))
      throw damaged(key, 'it is not the pack that the backups mean')
    if (needs !== undefined && needs.highestUnit >= pack.units.length)
      throw damaged(key, `unit ${needs.highestUnit} is needed, it has ${pack.units.length} units`)
    let rawBytes = 0
    for (const [number, unit] of pack.units.entries()) {
      rawBytes += pack.lendUnit(number, (raw) => {
        this.#checkHashes({ key, number, unit, raw })
        const end = needs?.ends[number] ?? 0
        if (end > raw.length)
          throw damaged(key, `${end} bytes of unit ${number} are needed, it has ${raw.length}`)
        return raw.length
      })
    }
    return rawBytes
  }

  #checkHashes({ key, number, unit, raw }: OpenedUnit): void {
    this.#kernel.input.set(raw)
    let offset = 0
    for (const { length, blockHashes } of unit.pieces) {
      const count = this.#kernel.hashBlocks({ offset, length }, this.#hashes)
      for (let index = 0; index < count; index += 1) {
        if (this.#hashes[index] !== blockHashes[index])
          throw damaged(key, `the content of unit ${number} does not match its block hashes`)
      }
      offset += length
    }
  }
}

interface OpenedUnit {
  readonly key: string
  readonly number: number
  readonly unit: Unit
  readonly raw: Uint8Array
}

function damaged(key: string, what: string): OperationError {
  return new OperationError('damaged', `reading pack "${key}": ${what}`)
}

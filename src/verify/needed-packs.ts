import type { PackName } from '../repository/object-keys.ts'
import type { PackNeeds } from './verify-protocol.ts'

/** By `packName`: what the manifests want of the packs that are to be proven. */
export type NeededPacks = Map<string, NeededPack>

export const packName = ({ label, number }: PackName): string => `${label}/${number}`

/** No pack can have more units: each takes at least a frame of 25 bytes, and a pack has at most 64 MiB. */
const mostUnits = (64 * 1024 * 1024) / 25

/** Gathers how far the manifests reach into each unit of one pack. */
export class NeededPack {
  readonly #indexTag: Uint8Array
  #ends = new Uint32Array(32)
  #highestUnit = -1

  constructor(indexTag: Uint8Array) {
    this.#indexTag = indexTag
  }

  /** A run of bytes of this unit is wanted that ends there. */
  add(unit: number, end: number): void {
    this.#highestUnit = Math.max(this.#highestUnit, unit)
    if (unit > mostUnits) return // the number of units alone shows that the pack cannot have it
    if (unit >= this.#ends.length) {
      const grown = new Uint32Array(2 * unit)
      grown.set(this.#ends)
      this.#ends = grown
    }
    if (end > (this.#ends[unit] ?? 0)) this.#ends[unit] = end
  }

  finish(): PackNeeds {
    const ends = this.#ends.slice(0, this.#highestUnit + 1)
    return { indexTag: this.#indexTag, ends, highestUnit: this.#highestUnit }
  }
}

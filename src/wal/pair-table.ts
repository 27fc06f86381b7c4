import { Uint32Column } from './columns.ts'

const firstSlots = 64
/** Odd numbers that spread neighbouring keys: those of XXH32. */
const multipliers = { a: 0x9e3779b1, b: 0x85ebca77 } as const
/** Sixteen neighbouring second numbers share a line of the processor's cache. */
const lineShift = 4
const lineMask = 15

/**
 * Numbers pairs of 32-bit numbers in the order of their coming: a hash table with open addresses, without objects. Quick
 * when the second numbers come in runs, as transaction ids do.
 */
export class PairTable {
  readonly #a = new Uint32Column()
  readonly #b = new Uint32Column()
  /** Indexes plus one; 0 is free. Their number is a power of two, and at least twice that of the pairs. */
  #slots = new Uint32Array(firstSlots)

  get count(): number {
    return this.#a.count
  }

  firstAt(index: number): number {
    return this.#a.at(index)
  }

  secondAt(index: number): number {
    return this.#b.at(index)
  }

  /** The pair's index; -1 when it is not there. */
  find(a: number, b: number): number {
    return (this.#slots[this.#slotOf(a, b)] ?? 0) - 1
  }

  /** The pair's index, which is the former `count` when it was not there. */
  indexOf(a: number, b: number): number {
    const slot = this.#slotOf(a, b)
    const known = this.#slots[slot] ?? 0
    if (known !== 0) return known - 1
    const index = this.count
    this.#a.push(a)
    this.#b.push(b)
    this.#slots[slot] = index + 1
    if (2 * this.count > this.#slots.length) this.#grow()
    return index
  }

  /** The slot that has the pair, or the free one where it belongs. */
  #slotOf(a: number, b: number): number {
    const mask = this.#slots.length - 1
    const mixed = Math.imul(a, multipliers.a) ^ Math.imul(b >>> lineShift, multipliers.b)
    let slot = (((mixed ^ (mixed >>> 15)) & ~lineMask) | (b & lineMask)) & mask
    for (;;) {
      const index = (this.#slots[slot] ?? 0) - 1
      if (index < 0 || (this.#a.at(index) === a && this.#b.at(index) === b)) return slot
      slot = (slot + 1) & mask
    }
  }

  #grow(): void {
    const count = this.count
    this.#slots = new Uint32Array(4 * this.#slots.length)
    for (let index = 0; index < count; index += 1) {
      this.#slots[this.#slotOf(this.#a.at(index), this.#b.at(index))] = index + 1
    }
  }
}

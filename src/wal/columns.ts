/** Rows that a column has room for at first. */
const firstCapacity = 16

/** A growing list of 32-bit numbers without sign. */
export class Uint32Column {
  #values = new Uint32Array(firstCapacity)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** A view, valid until the next `push`. */
  get values(): Uint32Array {
    return this.#values.subarray(0, this.#count)
  }

  push(value: number): void {
    if (this.#count === this.#values.length) {
      const grown = new Uint32Array(2 * this.#count)
      grown.set(this.#values)
      this.#values = grown
    }
    this.#values[this.#count] = value
    this.#count += 1
  }

  at(index: number): number {
    return this.#values[index] ?? 0
  }

  set(index: number, value: number): void {
    this.#values[index] = value
  }
}

/** A growing list of 64-bit numbers, which are pushed in halves: no bigint is made until one is asked for. */
export class Uint64Column {
  #halves = new Uint32Array(2 * firstCapacity)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** A view, valid until the next `push`. */
  get values(): BigUint64Array {
    return new BigUint64Array(this.#halves.buffer, 0, this.#count)
  }

  push(high: number, low: number): void {
    const at = 2 * this.#count
    if (at === this.#halves.length) {
      const grown = new Uint32Array(2 * at)
      grown.set(this.#halves)
      this.#halves = grown
    }
    // Every platform that we run on has its low bytes first.
    this.#halves[at] = low
    this.#halves[at + 1] = high
    this.#count += 1
  }

  set(index: number, high: number, low: number): void {
    this.#halves[2 * index] = low
    this.#halves[2 * index + 1] = high
  }

  isZero(index: number): boolean {
    return this.#halves[2 * index] === 0 && this.#halves[2 * index + 1] === 0
  }

  pushWhole(value: bigint): void {
    this.push(Number(BigInt.asUintN(32, value >> 32n)), Number(BigInt.asUintN(32, value)))
  }

  at(index: number): bigint {
    const high = this.#halves[2 * index + 1] ?? 0
    return (BigInt(high) << 32n) | BigInt(this.#halves[2 * index] ?? 0)
  }
}

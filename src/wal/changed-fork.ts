import assert from 'node:assert/strict'

/** Blocks that share one bitmap: a power of two, 16 MiB of a relation. */
const bitsPerMap = 2048
const mapShift = 11
const wordsPerMap = bitsPerMap / 32
/** Up to here a plain list is smaller. */
const mostListed = 8
/** Block numbers have 32 bits: storage/block.h. */
const blockNumberEnd = 0x1_0000_0000

/**
 * The changed blocks of one fork of a relation. Takes about 100 bytes for one block, and 300 bytes for every 16 MiB of a
 * relation that is changed all over.
 */
export class ChangedFork {
  #limit: number | undefined
  #count = 0
  /** In no order. Undefined when there are bitmaps instead. */
  #listed: number[] | undefined = []
  /** Bitmaps, one behind the other. */
  #words: Uint32Array | undefined
  /** Of bitmap n, which has the blocks from n * 2048 on: where it begins in the words. */
  #places: Map<number, number> | undefined
  #lastMap = -1
  #lastPlace = 0

  /** The smallest block from which on everything counts as changed: it was truncated, or made or dropped (0). */
  get limit(): number | undefined {
    return this.#limit
  }

  /** How many blocks were named. */
  get count(): number {
    return this.#count
  }

  add(block: number): void {
    if (this.#listed !== undefined) {
      if (this.#listed.includes(block)) return
      if (this.#listed.length < mostListed) {
        this.#listed.push(block)
        this.#count += 1
        return
      }
      this.#leaveList(this.#listed)
    }
    this.#addToMap(block)
  }

  limitTo(block: number): void {
    if (this.#limit === undefined || block < this.#limit) this.#limit = block
  }

  /** Whether the block was named, or is at or after the limit. */
  has(block: number): boolean {
    if (this.#limit !== undefined && block >= this.#limit) return true
    if (this.#listed !== undefined) return this.#listed.includes(block)
    const place = this.#places?.get(block >>> mapShift)
    if (place === undefined) return false
    const word = this.#words?.[place + ((block % bitsPerMap) >>> 5)] ?? 0
    return ((word >>> (block % 32)) & 1) === 1
  }

  /** Those that were named, from `first` up to, but not including, `end`; ascending. */
  blocksWithin(first: number, end: number): number[] {
    if (this.#listed !== undefined) {
      return this.#listed.filter((block) => block >= first && block < end).toSorted((a, b) => a - b)
    }
    const found: number[] = []
    for (const map of this.#mapsWithin(first, end)) {
      for (const block of this.#blocksOf(map)) if (block >= first && block < end) found.push(block)
    }
    return found
  }

  /** Those that were named, ascending. */
  *blocks(): Generator<number, void, undefined> {
    if (this.#listed !== undefined) {
      yield* this.#listed.toSorted((a, b) => a - b)
      return
    }
    for (const map of this.#mapsWithin(0, blockNumberEnd)) yield* this.#blocksOf(map)
  }

  addAll(other: ChangedFork): void {
    if (other.#limit !== undefined) this.limitTo(other.#limit)
    for (const block of other.blocks()) this.add(block)
  }

  #leaveList(listed: readonly number[]): void {
    this.#listed = undefined
    this.#count = 0
    for (const block of listed) this.#addToMap(block)
  }

  #addToMap(block: number): void {
    const map = block >>> mapShift
    if (map !== this.#lastMap) {
      this.#lastPlace = this.#placeOf(map)
      this.#lastMap = map
    }
    const words = this.#words
    assert(words !== undefined)
    const at = this.#lastPlace + ((block % bitsPerMap) >>> 5)
    const word = words[at] ?? 0
    const bit = 1 << (block % 32)
    if ((word & bit) !== 0) return
    words[at] = word | bit
    this.#count += 1
  }

  /** Where the bitmap begins. Adds an empty one when it is not there. */
  #placeOf(map: number): number {
    this.#places ??= new Map()
    const known = this.#places.get(map)
    if (known !== undefined) return known
    const place = this.#places.size * wordsPerMap
    const words = this.#words
    if (words === undefined || place + wordsPerMap > words.length) {
      this.#words = new Uint32Array(Math.max(wordsPerMap, 2 * place))
      if (words !== undefined) this.#words.set(words)
    }
    this.#places.set(map, place)
    return place
  }

  /** Ascending numbers of the bitmaps that hold blocks of the range. */
  #mapsWithin(first: number, end: number): readonly number[] {
    const places = this.#places
    if (places === undefined || first >= end) return []
    const from = first >>> mapShift
    const last = Math.min(end - 1, blockNumberEnd - 1) >>> mapShift
    if (last - from >= places.size) {
      return [...places.keys()].filter((map) => map >= from && map <= last).toSorted((a, b) => a - b)
    }
    const maps: number[] = []
    for (let map = from; map <= last; map += 1) if (places.has(map)) maps.push(map)
    return maps
  }

  *#blocksOf(map: number): Generator<number, void, undefined> {
    const place = this.#places?.get(map) ?? 0
    for (let index = 0; index < wordsPerMap; index += 1) {
      let word = this.#words?.[place + index] ?? 0
      while (word !== 0) {
        yield map * bitsPerMap + index * 32 + 31 - Math.clz32(word & -word)
        word &= word - 1
      }
    }
  }
}

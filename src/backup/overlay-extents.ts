import type { Extent } from '../repository/manifest-entry.ts'

/** An extent and where in its file it begins. */
export interface PlacedExtent extends Extent {
  readonly offset: number
}

export interface Overlaid {
  readonly extents: readonly Extent[]
  /** How many bytes of the file are still the parent's. */
  readonly keptBytes: number
}

/**
 * The extents of a file of `sizeBytes` whose bytes were stored anew where `stored` says, ascending, and are the parent's
 * everywhere else. What lies behind the end of the file is dropped. Where neither has anything the extents fall short
 * of the size: whoever asks must look at the sum.
 */
export function overlayExtents(
  parent: readonly Extent[],
  stored: readonly PlacedExtent[],
  sizeBytes: number,
): Overlaid {
  const extents: Extent[] = []
  let keptBytes = 0
  const below = new ExtentCursor(parent)
  let position = 0
  const keepUntil = (end: number): void => {
    for (const extent of below.between(position, end)) {
      append(extents, extent)
      keptBytes += extent.length
    }
  }
  for (const { offset, length, source } of stored) {
    const end = Math.min(offset + length, sizeBytes)
    if (end <= Math.max(position, offset)) continue
    keepUntil(offset)
    const skipped = Math.max(0, position - offset)
    append(extents, shifted({ length: end - offset, source }, skipped))
    position = end
  }
  keepUntil(sizeBytes)
  return { extents, keptBytes }
}

/** Walks extents that follow each other; asked for rising stretches. */
class ExtentCursor {
  readonly #extents: readonly Extent[]
  #index = 0
  /** Where the extent at the index begins. */
  #offset = 0

  constructor(extents: readonly Extent[]) {
    this.#extents = extents
  }

  *between(start: number, end: number): Generator<Extent> {
    for (let extent = this.#extents[this.#index]; extent !== undefined; extent = this.#extents[this.#index]) {
      const extentEnd = this.#offset + extent.length
      const first = Math.max(start, this.#offset)
      const last = Math.min(end, extentEnd)
      if (last > first) yield shifted({ ...extent, length: last - this.#offset }, first - this.#offset)
      if (extentEnd > end) return
      this.#offset = extentEnd
      this.#index += 1
    }
  }
}

/** The extent without its first bytes. */
function shifted({ length, source }: Extent, skipped: number): Extent {
  if (skipped === 0) return { length, source }
  const rest = length - skipped
  return source.kind === 'zeros'
    ? { length: rest, source }
    : { length: rest, source: { ...source, offset: source.offset + skipped } }
}

/** Neighbouring zeros become one. Neighbours in a unit stay apart: they are pieces of their own, with their own hashes. */
function append(extents: Extent[], extent: Extent): void {
  const last = extents.at(-1)
  if (last?.source.kind === 'zeros' && extent.source.kind === 'zeros')
    extents[extents.length - 1] = { length: last.length + extent.length, source: last.source }
  else extents.push(extent)
}

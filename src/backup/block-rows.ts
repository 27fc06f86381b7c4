import { hashedBlockSize } from '../repository/pack-index.ts'
import type { KnownBlocks } from './parent-hashes.ts'

/** Neighbouring blocks that are all the parent's, or all not. Numbers count from the beginning of what was read. */
export interface BlockRow {
  readonly isKept: boolean
  readonly first: number
  readonly end: number
}

export interface ReadBlocks {
  /** Of each block that was read, the last of which may be short. */
  readonly hashes: BigUint64Array
  readonly length: number
  readonly known: KnownBlocks
  /** Which of the known blocks the first one that was read is. */
  readonly firstKnown: number
}

/** Rows of blocks that follow each other and are all that was read. A block is the parent's if hash and length say so. */
export function* blockRows(read: ReadBlocks): Generator<BlockRow> {
  const count = Math.ceil(read.length / hashedBlockSize)
  let first = 0
  for (let block = 1; block <= count; block += 1) {
    if (block < count && isKept(read, block) === isKept(read, first)) continue
    yield { isKept: isKept(read, first), first, end: block }
    first = block
  }
}

function isKept({ hashes, length, known, firstKnown }: ReadBlocks, block: number): boolean {
  const index = firstKnown + block
  const hash = known.hashes[index] ?? 0n
  const isSameLength = lengthOf(block, length) === lengthOf(index, known.length)
  return hash !== 0n && hash === hashes[block] && isSameLength
}

const lengthOf = (block: number, total: number): number =>
  Math.max(0, Math.min(hashedBlockSize, total - block * hashedBlockSize))

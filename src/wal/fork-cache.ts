import type { ChangedBlocks, ForkId } from './changed-blocks.ts'
import type { ChangedFork } from './changed-fork.ts'
import type { RowCounts } from './row-counts.ts'
import type { ScannedRecord } from './scanned-record.ts'

/** For a segment. Each number of slots is a power of two. */
const usualSlotCount = 4096
const keyParts = 4
/** Odd numbers that spread neighbouring keys: those of XXH32. */
const multipliers = { relation: 0x9e3779b1, database: 0x85ebca77, fork: 0xc2b2ae3d } as const

/** Finds the fork of a record's block without making anything: each has one slot, where the last to come stays. */
export class ForkCache {
  readonly #changes: ChangedBlocks
  readonly #rows: RowCounts
  readonly #slotMask: number
  readonly #keys: Uint32Array
  readonly #forks: (ChangedFork | undefined)[]
  /** Of the relation, in the counts of rows; -1 when nobody has asked. */
  readonly #relationIndexes: Int32Array

  constructor(changes: ChangedBlocks, rows: RowCounts, slotCount = usualSlotCount) {
    this.#changes = changes
    this.#rows = rows
    this.#slotMask = slotCount - 1
    this.#keys = new Uint32Array(keyParts * slotCount)
    this.#forks = Array.from({ length: slotCount })
    this.#relationIndexes = new Int32Array(slotCount)
  }

  forkOf(record: ScannedRecord, block: number): ChangedFork {
    const slot = this.#slotOf(record, block)
    return this.#forks[slot] ?? this.#fill(slot, idOf(record, block))
  }

  /** The number that the counts of rows have for the relation of a block. */
  relationIndexOf(record: ScannedRecord, block: number): number {
    const slot = this.#slotOf(record, block)
    if (this.#forks[slot] === undefined) this.#fill(slot, idOf(record, block))
    const known = this.#relationIndexes[slot] ?? -1
    if (known >= 0) return known
    const index = this.#rows.relationIndexOf(idOf(record, block))
    this.#relationIndexes[slot] = index
    return index
  }

  /** The slot of the fork, emptied when it held another one. */
  #slotOf(record: ScannedRecord, block: number): number {
    const at = record.relationAt(block)
    const { view } = record
    const tablespace = view.getUint32(at, true)
    const database = view.getUint32(at + 4, true)
    const relation = view.getUint32(at + 8, true)
    const fork = record.forkOf(block)
    const mixed =
      Math.imul(relation, multipliers.relation) ^
      Math.imul(database, multipliers.database) ^
      Math.imul(fork, multipliers.fork)
    const slot = (mixed ^ (mixed >>> 15)) & this.#slotMask
    const key = keyParts * slot
    const keys = this.#keys
    if (
      keys[key] !== relation ||
      keys[key + 1] !== fork ||
      keys[key + 2] !== database ||
      keys[key + 3] !== tablespace
    ) {
      keys[key] = relation
      keys[key + 1] = fork
      keys[key + 2] = database
      keys[key + 3] = tablespace
      this.#forks[slot] = undefined
    }
    return slot
  }

  #fill(slot: number, id: ForkId): ChangedFork {
    const fork = this.#changes.forkOf(id)
    this.#forks[slot] = fork
    this.#relationIndexes[slot] = -1
    return fork
  }
}

function idOf(record: ScannedRecord, block: number): ForkId {
  const at = record.relationAt(block)
  return {
    tablespace: record.view.getUint32(at, true),
    database: record.view.getUint32(at + 4, true),
    relation: record.view.getUint32(at + 8, true),
    fork: record.forkOf(block),
  }
}

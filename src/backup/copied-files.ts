import assert from 'node:assert/strict'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { PackReference } from '../repository/manifest-head.ts'
import type { BuiltPack, CopyResponse, StoredRun } from './copy-protocol.ts'
import type { PlacedExtent } from './overlay-extents.ts'

/** Columns of a stored run. A million files of a terabyte are held in flat memory, not as objects. */
const columns = { file: 0, offset: 1, length: 2, packNumber: 3, unit: 4, unitOffset: 5 } as const
const columnCount = 6
/** The pack number of a run of zeros, which is not stored. */
const noPack = 0

type Copied = Pick<CopyResponse, 'runs' | 'kept' | 'resized' | 'vanished' | 'cut'>

type StoredPack = Omit<PackReference, 'liveBytes' | 'rawBytes'>

/**
 * Collects what the workers report, in whatever order it comes, and gives for each file its extents in order. Bounded by
 * the number of runs: about 48 bytes for each MiB, or for each file.
 */
export class CopiedFiles {
  readonly #packs = new Map<number, StoredPack>()
  /** Files that ended elsewhere than the scan said: the shortest end that was seen. */
  readonly #resized = new Map<number, number>()
  readonly #vanished = new Set<number>()
  readonly #cut = new Set<number>()
  readonly #kept = new Map<number, number>()
  readonly #label: BackupLabel
  #runs = new Float64Array(columnCount * 4096)
  #runCount = 0

  constructor(label: BackupLabel) {
    this.#label = label
  }

  add({ runs, kept, resized, vanished, cut }: Copied): void {
    for (const run of runs) this.#addRun(run)
    for (const { file, bytes } of kept) this.keep(file, bytes)
    for (const { file, sizeBytes } of resized) {
      this.#resized.set(file, Math.min(sizeBytes, this.#resized.get(file) ?? Infinity))
    }
    for (const file of vanished) this.#vanished.add(file)
    for (const file of cut) this.#cut.add(file)
  }

  addPack({ packNumber, sizeBytes, indexTag }: BuiltPack): void {
    this.#packs.set(packNumber, { label: this.#label, number: packNumber, sizeBytes, indexTag })
  }

  /** Raw bytes of all runs that are in packs. */
  get storedRawBytes(): number {
    let sum = 0
    for (let run = 0; run < this.#runCount; run += 1)
      if (this.#cell(run, columns.packNumber) !== noPack) sum += this.#cell(run, columns.length)
    return sum
  }

  /** True for a file that was gone when it, or a part of it, was to be read: it is not in the backup. */
  hasVanished(file: number): boolean {
    return this.#vanished.has(file)
  }

  /** Files whose end is not in the backup, because they grew faster than they could be read. */
  get cut(): Iterable<number> {
    return this.#cut
  }

  /** The packs that were stored, in the order of their numbers, to which the extents' indexes refer. */
  packTable(): readonly StoredPack[] {
    return this.#packNumbers().map((number) => {
      const pack = this.#packs.get(number)
      assert.ok(pack !== undefined, `pack ${number} holds runs of files and was never stored`)
      return pack
    })
  }

  /** Of the packs that were stored, and of those that are still being built. */
  #packNumbers(): readonly number[] {
    const numbers = new Set(this.#packs.keys())
    for (let run = 0; run < this.#runCount; run += 1) numbers.add(this.#cell(run, columns.packNumber))
    numbers.delete(noPack)
    return [...numbers].toSorted((one, other) => one - other)
  }

  /** Where a file really ends. */
  sizeOf(file: number, scannedBytes: number): number {
    return this.#resized.get(file) ?? scannedBytes
  }

  /** Of a file that a parent has too: bytes that need not be stored because they are the parent's. */
  keep(file: number, bytes: number): void {
    if (bytes > 0) this.#kept.set(file, this.keptBytesOf(file) + bytes)
  }

  keptBytesOf(file: number): number {
    return this.#kept.get(file) ?? 0
  }

  /** What was stored of each file, ascending. To be asked for file by file, in the order of the scan. */
  storedExtents(): (file: number) => readonly PlacedExtent[] {
    const packIndexes = new Map(this.#packNumbers().map((number, index) => [number, index]))
    const order = this.#orderedRuns()
    let next = 0
    return (file) => {
      const extents: PlacedExtent[] = []
      for (; next < order.length; next += 1) {
        const run = order[next] ?? 0
        const runFile = this.#cell(run, columns.file)
        if (runFile > file) break
        if (runFile === file) extents.push(this.#extentOf(run, packIndexes))
      }
      return extents
    }
  }

  #extentOf(run: number, packIndexes: ReadonlyMap<number, number>): PlacedExtent {
    const pack = packIndexes.get(this.#cell(run, columns.packNumber))
    const [offset, length] = [this.#cell(run, columns.offset), this.#cell(run, columns.length)]
    if (pack === undefined) return { offset, length, source: { kind: 'zeros' } }
    const unit = this.#cell(run, columns.unit)
    return {
      offset,
      length,
      source: { kind: 'unit', pack, unit, offset: this.#cell(run, columns.unitOffset) },
    }
  }

  #orderedRuns(): Uint32Array {
    const order = Uint32Array.from({ length: this.#runCount }, (_, index) => index)
    return order.toSorted((one, other) => {
      const files = this.#cell(one, columns.file) - this.#cell(other, columns.file)
      return files === 0 ? this.#cell(one, columns.offset) - this.#cell(other, columns.offset) : files
    })
  }

  #addRun(run: StoredRun): void {
    if ((this.#runCount + 1) * columnCount > this.#runs.length) {
      const grown = new Float64Array(this.#runs.length * 2)
      grown.set(this.#runs)
      this.#runs = grown
    }
    const { file, offset, length, packNumber, unit, unitOffset } = run
    this.#runs.set([file, offset, length, packNumber, unit, unitOffset], this.#runCount * columnCount)
    this.#runCount += 1
  }

  #cell(run: number, column: number): number {
    return this.#runs[run * columnCount + column] ?? 0
  }
}

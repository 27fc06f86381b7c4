import assert from 'node:assert/strict'
import { fromBytePath } from '../platform/byte-path.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { Extent, FileEntry } from '../repository/manifest-entry.ts'
import type { PackReference } from '../repository/manifest-head.ts'
import type { BuiltPack, CopyResponse, StoredRun } from './copy-protocol.ts'
import { type ScannedFile } from './scan.ts'

/** Columns of a stored run. A million files of a terabyte are held in flat memory, not as objects. */
const columns = { file: 0, offset: 1, length: 2, packNumber: 3, unit: 4, unitOffset: 5 } as const
const columnCount = 6

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
  readonly #label: BackupLabel
  #runs = new Float64Array(columnCount * 4096)
  #runCount = 0

  constructor(label: BackupLabel) {
    this.#label = label
  }

  add({ runs, resized, vanished, cut }: Pick<CopyResponse, 'runs' | 'resized' | 'vanished' | 'cut'>): void {
    for (const run of runs) this.#addRun(run)
    for (const { file, sizeBytes } of resized) {
      this.#resized.set(file, Math.min(sizeBytes, this.#resized.get(file) ?? Infinity))
    }
    for (const file of vanished) this.#vanished.add(file)
    for (const file of cut) this.#cut.add(file)
  }

  addPack({ packNumber, sizeBytes, indexTag }: BuiltPack): void {
    this.#packs.set(packNumber, { label: this.#label, number: packNumber, sizeBytes, indexTag })
  }

  /** True for a file that was gone when it, or a part of it, was to be read: it is not in the backup. */
  hasVanished(file: number): boolean {
    return this.#vanished.has(file)
  }

  /** Files whose end is not in the backup, because they grew faster than they could be read. */
  get cut(): Iterable<number> {
    return this.#cut
  }

  /** The packs in the order of their numbers, to which the extents' indexes refer. */
  packTable(): readonly StoredPack[] {
    return [...this.#packs.values()].toSorted((one, other) => one.number - other.number)
  }

  /** Each file of the scan that did not vanish, in the order of the scan, with what was really read of it. */
  *entries(
    files: readonly ScannedFile[],
    damaged: ReadonlyMap<number, readonly number[]>,
  ): Generator<FileEntry> {
    const packIndexes = new Map(this.packTable().map(({ number }, index) => [number, index]))
    const order = this.#orderedRuns()
    let next = 0
    for (const [index, file] of files.entries()) {
      const first = next
      while (next < order.length && this.#cell(order[next] ?? 0, columns.file) === index) next += 1
      if (this.#vanished.has(index)) continue
      const { root, path, mode, owner, modifiedAtMs } = file
      const sizeBytes = this.#resized.get(index) ?? file.sizeBytes
      yield {
        kind: 'file',
        root,
        path: fromBytePath(path),
        mode,
        owner,
        modifiedAtMs,
        sizeBytes,
        damagedBlocks: damaged.get(index) ?? [],
        extents: [...this.#extents(order.subarray(first, next), { sizeBytes, packIndexes })],
      }
    }
  }

  /** Runs behind the end of a file that was truncated while it was read are dropped, the last one is cut. */
  *#extents(
    order: Uint32Array,
    { sizeBytes, packIndexes }: { sizeBytes: number; packIndexes: ReadonlyMap<number, number> },
  ): Generator<Extent> {
    for (const run of order) {
      const length = Math.min(this.#cell(run, columns.length), sizeBytes - this.#cell(run, columns.offset))
      if (length <= 0) return
      const packNumber = this.#cell(run, columns.packNumber)
      const pack = packIndexes.get(packNumber)
      assert.ok(
        pack !== undefined || packNumber === 0,
        'a run in a pack that was never stored must not become zeros',
      )
      const source =
        pack === undefined
          ? ({ kind: 'zeros' } as const)
          : ({
              kind: 'unit',
              pack,
              unit: this.#cell(run, columns.unit),
              offset: this.#cell(run, columns.unitOffset),
            } as const)
      yield { length, source }
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

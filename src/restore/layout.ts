import type { BytePath } from '../platform/byte-path.ts'

export interface LayoutDirectory {
  readonly root: number
  readonly path: BytePath
  readonly mode: number
}

export interface LayoutLink {
  readonly root: number
  readonly path: BytePath
  readonly target: BytePath
}

/** The files of a backup in columns: a million of them are held as numbers and short texts, not as objects. */
export class FileTable {
  readonly #paths: BytePath[] = []
  readonly #numbers = new NumberRows(3)

  get count(): number {
    return this.#paths.length
  }

  /** Gives the file's index. */
  add({
    root,
    path,
    mode,
    sizeBytes,
  }: {
    root: number
    path: BytePath
    mode: number
    sizeBytes: number
  }): number {
    this.#numbers.add([root, mode, sizeBytes])
    return this.#paths.push(path) - 1
  }

  path(index: number): BytePath {
    return this.#paths[index] ?? ''
  }

  root(index: number): number {
    return this.#numbers.get(index, 0)
  }

  mode(index: number): number {
    return this.#numbers.get(index, 1)
  }

  sizeBytes(index: number): number {
    return this.#numbers.get(index, 2)
  }
}

/** Rows of a fixed number of numbers in one growing block of memory. */
export class NumberRows {
  readonly #width: number
  #cells: Float64Array
  #count = 0

  constructor(width: number) {
    this.#width = width
    this.#cells = new Float64Array(width * 1024)
  }

  get count(): number {
    return this.#count
  }

  add(row: readonly number[]): void {
    if ((this.#count + 1) * this.#width > this.#cells.length) {
      const grown = new Float64Array(this.#cells.length * 2)
      grown.set(this.#cells)
      this.#cells = grown
    }
    this.#cells.set(row, this.#count * this.#width)
    this.#count += 1
  }

  get(row: number, column: number): number {
    return this.#cells[row * this.#width + column] ?? 0
  }
}

/** Columns of a run: bytes of a file and the unit that they come from. */
export const runColumns = { pack: 0, unit: 1, unitOffset: 2, length: 3, file: 4, fileOffset: 5 } as const

/** Everything that a restore writes, as the manifest says. */
export interface Layout {
  /** Parents before what is in them. */
  readonly directories: readonly LayoutDirectory[]
  readonly files: FileTable
  readonly links: readonly LayoutLink[]
  /** In the order of `runColumns`. */
  readonly runs: NumberRows
  /** Runs of nothing but zeros: file, offset, length. */
  readonly zeros: NumberRows
  readonly bytesOfRoot: ReadonlyMap<number, number>
  /** Bytes that come out of packs. */
  readonly packedBytes: number
  /** Index of global/pg_control. */
  readonly controlFile: number
}

/** The rows of each pack, in the order of the manifest's pack table; packs that hold nothing live have none. */
export function groupByPack(runs: NumberRows, packCount: number): readonly Uint32Array[] {
  const counts = new Uint32Array(packCount)
  for (let row = 0; row < runs.count; row += 1) {
    const pack = runs.get(row, runColumns.pack)
    counts[pack] = (counts[pack] ?? 0) + 1
  }
  const groups = Array.from(counts, (count) => new Uint32Array(count))
  const filled = new Uint32Array(packCount)
  for (let row = 0; row < runs.count; row += 1) {
    const pack = runs.get(row, runColumns.pack)
    const at = filled[pack] ?? 0
    const group = groups[pack]
    if (group !== undefined) group[at] = row
    filled[pack] = at + 1
  }
  return groups
}

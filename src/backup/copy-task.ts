import { firstBlockOf } from '../postgres/page-layout.ts'
import type { KnownBlocks } from './parent-hashes.ts'
import { relationOf } from './plan-file.ts'
import { type Scan, type ScannedFile } from './scan.ts'

/** A run of one file's bytes, to be read by one worker. */
export interface Slice {
  /** Index into `Scan.files`. */
  readonly file: number
  readonly root: number
  readonly path: string
  readonly offset: number
  readonly length: number
  /**
   * True for files that are replaced or grow without the WAL knowing their bytes: they are read to the end that they have
   * when they are opened. Of a relation, what lies behind the length of the scan is the WAL's (R8).
   */
  readonly readsToEnd: boolean
  /** Block number of the file's first page in its relation fork; undefined when its pages carry no checksum. */
  readonly firstBlock: number | undefined
  /** It is a symbolic link that the policy follows. */
  readonly isFollowed: boolean
  /** Given instead of being read: the control file, which is read once and checked. */
  readonly content?: Uint8Array
  /** What the parent has here: blocks with the same hash are not stored again. */
  readonly known?: KnownBlocks
  /** In an audit, for each block whether the WAL says that it changed: another one must not differ. */
  readonly named?: Uint8Array
}

/** What a worker does before it asks for more. */
export interface CopyTask {
  readonly slices: readonly Slice[]
  readonly bytes: number
}

/** A larger file is cut into tasks of its own, so that no single file keeps one worker busy at the end. */
const largeFileBytes = 2 * 1024 * 1024
/** With a file that is just not large, still less than a pack: a task fills at most one pack and begins at most one. */
const taskBytes = 4 * 1024 * 1024
const mostSlices = 1024

/**
 * Cuts the files into tasks, in the order of the scan, so that neighbours share packs. Cuts are at multiples of the
 * task's size, so that a unit never straddles a block. Relations without content need no task.
 */
export function* planCopyTasks(scan: Scan, hasChecksums: boolean): Generator<CopyTask> {
  const gathered = new GatheredSlices()
  for (const slice of wholeFiles(scan, hasChecksums)) {
    for (const part of cutSlice(slice)) {
      const task = gathered.add(part)
      if (task !== undefined) yield task
    }
  }
  const rest = gathered.rest()
  if (rest !== undefined) yield rest
}

/** Makes tasks of slices: large ones alone, small ones together. */
export class GatheredSlices {
  #slices: Slice[] = []
  #bytes = 0

  /** A task that is ready, if this slice is one or completes one. */
  add(slice: Slice): CopyTask | undefined {
    if (slice.length >= largeFileBytes) return { slices: [slice], bytes: slice.length }
    this.#slices.push(slice)
    this.#bytes += slice.length
    return this.#bytes < taskBytes && this.#slices.length < mostSlices ? undefined : this.rest()
  }

  rest(): CopyTask | undefined {
    if (this.#slices.length === 0) return undefined
    const task = { slices: this.#slices, bytes: this.#bytes }
    this.#slices = []
    this.#bytes = 0
    return task
  }
}

function* wholeFiles({ files }: Scan, hasChecksums: boolean): Generator<Slice> {
  for (const [index, file] of files.entries()) {
    const slice = wholeFile({ index, file }, hasChecksums)
    if (slice !== undefined) yield slice
  }
}

/** All of a file; undefined when there is nothing to be read of it, or not yet. */
export function wholeFile(
  { index, file }: { readonly index: number; readonly file: ScannedFile },
  hasChecksums: boolean,
): Slice | undefined {
  const { root, path, isFollowed, sizeBytes } = file
  const relation = relationOf(file)
  const readsToEnd = relation === undefined
  if ((sizeBytes === 0 && !readsToEnd) || isControlFile(file)) return undefined
  const firstBlock = hasChecksums && relation !== undefined ? firstBlockOf(relation) : undefined
  return { file: index, root, path, isFollowed, readsToEnd, firstBlock, offset: 0, length: sizeBytes }
}

/** pg_control is read last, once and by itself (R12). */
export function isControlFile(file: Pick<ScannedFile, 'root' | 'path'>): boolean {
  return file.root === 0 && file.path === 'global/pg_control'
}

/** A slice that one task can take, or several of them. */
export function* cutSlice(slice: Slice): Generator<Slice> {
  if (slice.length < largeFileBytes) {
    yield slice
    return
  }
  const end = slice.offset + slice.length
  for (let offset = slice.offset; offset < end; offset += taskBytes) {
    const length = Math.min(taskBytes, end - offset)
    yield { ...slice, offset, length, readsToEnd: slice.readsToEnd && offset + length === end }
  }
}

import { joinBytePath } from '../platform/byte-path.ts'
import { firstBlockOf, parseRelationPath, type RelationFile } from '../postgres/page-layout.ts'
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
  let slices: Slice[] = []
  let bytes = 0
  for (const slice of wholeFiles(scan, hasChecksums)) {
    if (slice.length >= largeFileBytes) {
      yield* cutLargeFile(slice)
      continue
    }
    slices.push(slice)
    bytes += slice.length
    if (bytes < taskBytes && slices.length < mostSlices) continue
    yield { slices, bytes }
    slices = []
    bytes = 0
  }
  if (slices.length > 0) yield { slices, bytes }
}

function* wholeFiles({ files }: Scan, hasChecksums: boolean): Generator<Slice> {
  for (const [index, file] of files.entries()) {
    const { root, path, isFollowed, sizeBytes } = file
    const relation = relationOf(file)
    const readsToEnd = relation === undefined
    if ((sizeBytes === 0 && !readsToEnd) || isControlFile(file)) continue
    const firstBlock = hasChecksums && relation !== undefined ? firstBlockOf(relation) : undefined
    yield { file: index, root, path, isFollowed, readsToEnd, firstBlock, offset: 0, length: sizeBytes }
  }
}

/** pg_control is read last, once and by itself (R12). */
export function isControlFile(file: Pick<ScannedFile, 'root' | 'path'>): boolean {
  return file.root === 0 && file.path === 'global/pg_control'
}

function* cutLargeFile(slice: Slice): Generator<CopyTask> {
  for (let offset = 0; offset < slice.length; offset += taskBytes) {
    const length = Math.min(taskBytes, slice.length - offset)
    const readsToEnd = slice.readsToEnd && offset + length === slice.length
    yield { slices: [{ ...slice, offset, length, readsToEnd }], bytes: length }
  }
}

function relationOf({ root, path }: ScannedFile): RelationFile | undefined {
  return parseRelationPath(root === 0 ? path : joinBytePath(`pg_tblspc/${root}`, path))
}

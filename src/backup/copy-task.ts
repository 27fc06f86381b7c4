import { firstBlockOf, parseRelationPath } from '../postgres/page-layout.ts'
import { joinBytePath, type Scan, type ScannedFile } from './scan.ts'

/** A run of one file's bytes, to be read by one worker. */
export interface Slice {
  /** Index into `Scan.files`. */
  readonly file: number
  readonly root: number
  readonly path: string
  readonly offset: number
  readonly length: number
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
const largeFileBytes = 4 * 1024 * 1024
/** With a file that is just not large, still less than a pack: a task fills at most one pack and begins at most one. */
const taskBytes = 8 * 1024 * 1024
const mostSlices = 1024

/**
 * Cuts the files into tasks, in the order of the scan, so that neighbours share packs. Cuts are at multiples of the
 * task's size, so that a unit never straddles a block. Files without content need no task.
 */
export function* planCopyTasks(scan: Scan, hasChecksums: boolean): Generator<CopyTask> {
  let slices: Slice[] = []
  let bytes = 0
  for (const [index, file] of scan.files.entries()) {
    if (file.sizeBytes === 0 || isControlFile(file)) continue
    const { root, path, isFollowed, sizeBytes } = file
    const firstBlock = hasChecksums ? checksummedFrom(file) : undefined
    const whole = { file: index, root, path, isFollowed, firstBlock, offset: 0, length: sizeBytes }
    if (sizeBytes >= largeFileBytes) {
      yield* cutLargeFile(whole)
      continue
    }
    slices.push(whole)
    bytes += sizeBytes
    if (bytes < taskBytes && slices.length < mostSlices) continue
    yield { slices, bytes }
    slices = []
    bytes = 0
  }
  if (slices.length > 0) yield { slices, bytes }
}

/** pg_control is read last, once and by itself (R12). */
export function isControlFile(file: Pick<ScannedFile, 'root' | 'path'>): boolean {
  return file.root === 0 && file.path === 'global/pg_control'
}

function* cutLargeFile(slice: Slice): Generator<CopyTask> {
  for (let offset = 0; offset < slice.length; offset += taskBytes) {
    const length = Math.min(taskBytes, slice.length - offset)
    yield { slices: [{ ...slice, offset, length }], bytes: length }
  }
}

function checksummedFrom({ root, path }: ScannedFile): number | undefined {
  const relation = parseRelationPath(root === 0 ? path : joinBytePath(`pg_tblspc/${root}`, path))
  return relation && firstBlockOf(relation)
}

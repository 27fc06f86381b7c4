import type { BytePath } from '../platform/byte-path.ts'
import { parseRelationPath, type RelationFile } from '../postgres/page-layout.ts'
import { NumberRows, runColumns, type Layout } from './layout.ts'

/** Whether a file of a relation is not restored. Everything else always is. */
export type LeaveOut = (file: RelationFile, sizeBytes: number) => boolean

/** What stands in a restored directory with its size and nothing but zeros: new pages for PostgreSQL. */
export interface LeftOut {
  /** By `relationFileKey`. */
  readonly files: ReadonlySet<string>
  /** RelFileNumbers, of whichever database. */
  readonly relations: ReadonlySet<number>
  readonly bytes: number
}

/** The layout without the content of what is left out, which is then never fetched; undefined: nothing is. */
export function leaveOutFiles(
  layout: Layout,
  isLeftOut: LeaveOut,
): { readonly layout: Layout; readonly leftOut: LeftOut | undefined } {
  const { files } = layout
  const indexes = new Set<number>()
  const bytesOfRoot = new Map(layout.bytesOfRoot)
  const leftOut = { files: new Set<string>(), relations: new Set<number>(), bytes: 0 }
  for (let index = 0; index < files.count; index += 1) {
    const [root, sizeBytes] = [files.root(index), files.sizeBytes(index)]
    const file = parseRelationPath(asServerSees(root, files.path(index)))
    if (file === undefined || !isLeftOut(file, sizeBytes)) continue
    indexes.add(index)
    leftOut.files.add(relationFileKey(file))
    leftOut.relations.add(file.relationNumber)
    leftOut.bytes += sizeBytes
    bytesOfRoot.set(root, (bytesOfRoot.get(root) ?? 0) - sizeBytes)
  }
  if (indexes.size === 0) return { layout, leftOut: undefined }
  return { layout: { ...layout, ...runsWithout(layout.runs, indexes), bytesOfRoot }, leftOut }
}

type FileKey = Pick<
  RelationFile,
  'tablespaceOid' | 'databaseOid' | 'relationNumber' | 'fork' | 'segmentNumber'
>

/** One text for one file of a relation. */
export function relationFileKey(file: FileKey): string {
  const { tablespaceOid, databaseOid, relationNumber, fork, segmentNumber } = file
  return `${tablespaceOid}/${databaseOid}/${relationNumber}_${fork}.${segmentNumber}`
}

const asServerSees = (root: number, path: BytePath): string =>
  root === 0 ? path : `pg_tblspc/${root}/${path}`

function runsWithout(runs: NumberRows, files: ReadonlySet<number>): Pick<Layout, 'runs' | 'packedBytes'> {
  const width = Object.keys(runColumns).length
  const kept = new NumberRows(width)
  let packedBytes = 0
  for (let row = 0; row < runs.count; row += 1) {
    if (files.has(runs.get(row, runColumns.file))) continue
    kept.add(Array.from({ length: width }, (_, column) => runs.get(row, column)))
    packedBytes += runs.get(row, runColumns.length)
  }
  return { runs: kept, packedBytes }
}

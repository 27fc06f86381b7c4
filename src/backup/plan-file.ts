import { joinBytePath } from '../platform/byte-path.ts'
import { firstBlockOf, parseRelationPath, type RelationFile } from '../postgres/page-layout.ts'
import type { FileEntry } from '../repository/manifest-entry.ts'
import { hashedBlockSize } from '../repository/pack-index.ts'
import type { ChangedBlocks, ChangedFork } from '../wal/changed-blocks.ts'
import type { ScannedFile } from './scan.ts'

/** Of a file: block numbers count from its own beginning. */
export interface BlockRange {
  readonly first: number
  readonly end: number
}

/** How an incremental backup reads a file. */
export type FileReading =
  /** The parent has no such file: all of it is stored. */
  | { readonly kind: 'new' }
  /** All of it is read. What the parent has with the same hash in the same place is not stored again. */
  | { readonly kind: 'compared' }
  /** Only these blocks are read: of all others the WAL proves that they are as the parent has them. Ascending and apart. */
  | { readonly kind: 'blocks'; readonly ranges: readonly BlockRange[] }

/** ForkNumber of the main fork: common/relpath.h. */
const mainFork = 0

export interface FilePlanning {
  readonly file: Pick<ScannedFile, 'root' | 'path' | 'sizeBytes'>
  readonly parent: Pick<FileEntry, 'sizeBytes' | 'damagedBlocks'> | undefined
  /** What the WAL from the parent's start to this backup's start changes; undefined when that is not proven. */
  readonly changes: Pick<ChangedBlocks, 'find' | 'hasDatabase'> | undefined
}

/**
 * Decides which parts of a file are read, by the rules R50 to R53. The blocks of main forks that the WAL names, that lie
 * at or behind the smallest length the fork ever had, that the parent did not have, or that were damaged there. All
 * of databases that were created, copied or dropped; of forks and files that the WAL does not tell of block by block: the
 * visibility map (bits that are cleared name no block, M15), the free space map, init forks, and whatever is no relation.
 */
export function planFile({ file, parent, changes }: FilePlanning): FileReading {
  if (parent === undefined) return { kind: 'new' }
  const relation = relationOf(file)
  if (relation?.fork !== 'main' || changes === undefined) return { kind: 'compared' }
  const { tablespaceOid: tablespace, databaseOid: database, relationNumber } = relation
  if (changes.hasDatabase(tablespace, database)) return { kind: 'compared' }
  const fork = changes.find({ tablespace, database, relation: relationNumber, fork: mainFork })
  return planBlocks({ file, parent }, { fork, firstBlock: firstBlockOf(relation) })
}

interface KnownFile extends Pick<FilePlanning, 'file'> {
  readonly parent: NonNullable<FilePlanning['parent']>
}

interface NamedBlocks {
  readonly fork: ChangedFork | undefined
  /** Of the file, in its fork. */
  readonly firstBlock: number
}

function planBlocks({ file, parent }: KnownFile, { fork, firstBlock }: NamedBlocks): FileReading {
  const blockCount = Math.ceil(file.sizeBytes / hashedBlockSize)
  const limit = Math.max(0, (fork?.limit ?? Infinity) - firstBlock)
  // A file becomes shorter only by a truncation, which the WAL tells of; one after our start is not in this WAL.
  const isShortened = file.sizeBytes < parent.sizeBytes && limit > blockCount
  if (limit === 0 || isShortened) return { kind: 'compared' }
  const known = Math.min(Math.floor(parent.sizeBytes / hashedBlockSize), limit, blockCount)
  const named = fork?.blocksWithin(firstBlock, firstBlock + known).map((block) => block - firstBlock) ?? []
  const damaged = parent.damagedBlocks.filter((block) => block < known)
  return { kind: 'blocks', ranges: rangesOf(named, damaged, { first: known, end: blockCount }) }
}

/** What relation file this is, if it is one. */
export function relationOf({ root, path }: Pick<ScannedFile, 'root' | 'path'>): RelationFile | undefined {
  return parseRelationPath(root === 0 ? path : joinBytePath(`pg_tblspc/${root}`, path))
}

function rangesOf(
  named: readonly number[],
  damaged: readonly number[],
  rest: BlockRange,
): readonly BlockRange[] {
  const blocks = damaged.length === 0 ? named : [...new Set([...named, ...damaged])].toSorted((a, b) => a - b)
  const ranges: { first: number; end: number }[] = []
  for (const block of blocks) {
    const last = ranges.at(-1)
    if (last?.end === block) last.end += 1
    else ranges.push({ first: block, end: block + 1 })
  }
  if (rest.end > rest.first) {
    const last = ranges.at(-1)
    if (last?.end === rest.first) last.end = rest.end
    else ranges.push(rest)
  }
  return ranges
}

import assert from 'node:assert/strict'
import { fromBytePath } from '../platform/byte-path.ts'
import type { Extent, FileEntry, ManifestEntry } from '../repository/manifest-entry.ts'
import type { CopiedFiles } from './copied-files.ts'
import { matchParent, type MatchedFile } from './match-parent.ts'
import { overlayExtents, type PlacedExtent } from './overlay-extents.ts'
import type { ScannedFile } from './scan.ts'

export interface Assembling {
  readonly files: readonly ScannedFile[]
  readonly copied: CopiedFiles
  readonly damagedPages: ReadonlyMap<number, readonly number[]>
}

/** A file of the manifest and which one of the scan it is. */
export interface IndexedEntry {
  readonly index: number
  readonly entry: FileEntry
}

/** The files of a full backup: those of the scan that did not vanish, in its order, with what was really read of them. */
export function* assembleFiles({ files, copied, damagedPages }: Assembling): Generator<FileEntry> {
  const storedOf = copied.storedExtents()
  for (const [index, file] of files.entries()) {
    const entry = assemble(
      { index, file, parent: undefined, stored: storedOf(index) },
      { copied, damagedPages },
    )
    if (entry !== undefined) yield entry
  }
}

/**
 * The files of an incremental backup: what was stored, over what the parent has. The packs of the parent have the indexes
 * that they have there, those of this backup follow behind `parentPackCount`.
 */
export async function* assembleOverParent(
  { files, copied, damagedPages }: Assembling,
  parent: { readonly entries: AsyncIterable<ManifestEntry>; readonly packCount: number },
): AsyncGenerator<IndexedEntry> {
  const storedOf = copied.storedExtents()
  for await (const matched of matchParent(files, parent.entries)) {
    const stored = storedOf(matched.index).map((extent) => behind(extent, parent.packCount))
    const entry = assemble({ ...matched, stored }, { copied, damagedPages })
    if (entry !== undefined) yield { index: matched.index, entry }
  }
}

function assemble(
  { index, file, parent, stored }: MatchedFile & { readonly stored: readonly PlacedExtent[] },
  { copied, damagedPages }: Pick<Assembling, 'copied' | 'damagedPages'>,
): FileEntry | undefined {
  if (copied.hasVanished(index)) return undefined
  const { root, path, mode, owner, modifiedAtMs } = file
  const sizeBytes = copied.sizeOf(index, file.sizeBytes)
  const { extents, keptBytes } = overlayExtents(parent?.extents ?? [], stored, sizeBytes)
  // Bytes that were neither stored nor found to be the parent's must not become whatever the parent has there.
  assert.ok(
    lengthOf(extents) === sizeBytes && keptBytes <= copied.keptBytesOf(index),
    `of file ${path} ${keptBytes} bytes would be the parent's, ${copied.keptBytesOf(index)} are known to be`,
  )
  const damagedBlocks = damagedPages.get(index) ?? []
  return {
    kind: 'file',
    root,
    path: fromBytePath(path),
    mode,
    owner,
    modifiedAtMs,
    sizeBytes,
    damagedBlocks,
    extents,
  }
}

const lengthOf = (extents: readonly Extent[]): number => extents.reduce((sum, { length }) => sum + length, 0)

function behind({ offset, length, source }: PlacedExtent, packCount: number): PlacedExtent {
  return source.kind === 'zeros'
    ? { offset, length, source }
    : { offset, length, source: { ...source, pack: source.pack + packCount } }
}

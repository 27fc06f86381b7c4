import assert from 'node:assert/strict'
import type { RunContext } from '../domain/run-context.ts'
import { fromBytePath } from '../platform/byte-path.ts'
import type { FileEntry, ManifestEntry } from '../repository/manifest-entry.ts'
import { readManifestEntries } from '../repository/manifest-reader.ts'
import { compareEntries, type WrittenPack } from '../repository/manifest-writer.ts'
import { assembleFiles, assembleOverParent, type IndexedEntry } from './assemble-files.ts'
import type { CopiedCluster } from './copy-cluster.ts'
import { type ScannedDirectory, type ScannedLink } from './scan.ts'

/** What a manifest is written of: its pack table, and its entries, which refer into that table. */
export interface ManifestContent {
  readonly packs: readonly WrittenPack[]
  /** Files, directories and links in the manifest's order, one at a time: there may be a million. */
  readonly entries: AsyncIterable<ManifestEntry>
}

type Copied = Pick<CopiedCluster, 'scan' | 'copier' | 'damagedPages' | 'lineage'>

/** Of an incremental backup: also what it has from its parent, with those packs of the parent that still hold something. */
export async function manifestContentOf(copied: Copied, context: RunContext): Promise<ManifestContent> {
  const own = copied.copier.copied.packTable()
  if (copied.lineage === undefined) return { packs: own, entries: withOthers(copied, fullFiles(copied)) }
  const all = [...copied.lineage.head.packs, ...own]
  const isLive = new Uint8Array(all.length)
  for await (const { entry } of filesOverParent(copied, context))
    for (const { source } of entry.extents) if (source.kind === 'unit') isLive[source.pack] = 1
  const newIndexes = new Uint32Array(all.length)
  let count = 0
  for (const index of all.keys()) {
    newIndexes[index] = count
    count += isLive[index] ?? 0
  }
  const files = renumbered(filesOverParent(copied, context), newIndexes)
  return { packs: all.filter((_, index) => isLive[index] === 1), entries: withOthers(copied, files) }
}

async function* fullFiles({ scan, copier, damagedPages }: Copied): AsyncGenerator<FileEntry> {
  yield* assembleFiles({ files: scan.files, copied: copier.copied, damagedPages })
}

/** The files of an incremental backup, with the packs of the parent under the indexes that they have there. */
export function filesOverParent(
  { scan, copier, damagedPages, lineage }: Copied,
  context: RunContext,
): AsyncGenerator<IndexedEntry> {
  assert.ok(lineage !== undefined)
  const { repository, clusterId, head } = lineage
  const parent = {
    entries: readManifestEntries(repository, { clusterId, head }, context),
    packCount: head.packs.length,
  }
  return assembleOverParent({ files: scan.files, copied: copier.copied, damagedPages }, parent)
}

async function* renumbered(
  files: AsyncIterable<IndexedEntry>,
  newIndexes: Uint32Array,
): AsyncGenerator<FileEntry> {
  for await (const { entry } of files) {
    const extents = entry.extents.map(({ length, source }) => ({
      length,
      source: source.kind === 'zeros' ? source : { ...source, pack: newIndexes[source.pack] ?? 0 },
    }))
    yield { ...entry, extents }
  }
}

function withOthers({ scan }: Copied, files: AsyncIterator<ManifestEntry>): AsyncGenerator<ManifestEntry> {
  const directories = scan.directories.values().map(toDirectoryEntry)
  const links = scan.links.values().map(toLinkEntry)
  return merge([directories, links, files])
}

function toDirectoryEntry({ root, path, mode, owner }: ScannedDirectory): ManifestEntry {
  return { kind: 'directory', root, path: fromBytePath(path), mode, owner }
}

function toLinkEntry({ root, path, owner, target }: ScannedLink): ManifestEntry {
  return { kind: 'link', root, path: fromBytePath(path), owner, target: fromBytePath(target) }
}

/** Merges rows that are each in the manifest's order. */
async function* merge(
  rows: readonly (Iterator<ManifestEntry> | AsyncIterator<ManifestEntry>)[],
): AsyncGenerator<ManifestEntry> {
  const heads: { readonly row: (typeof rows)[number]; next: IteratorResult<ManifestEntry> }[] = []
  for (const row of rows) heads.push({ row, next: await row.next() })
  for (;;) {
    const open = heads.filter(({ next }) => next.done !== true)
    const [first, ...others] = open
    if (first === undefined) return
    const least = others.reduce((one, other) => (compareHeads(one, other) <= 0 ? one : other), first)
    if (least.next.done !== true) yield least.next.value
    least.next = await least.row.next()
  }
}

interface Head {
  readonly next: IteratorResult<ManifestEntry>
}

function compareHeads({ next: one }: Head, { next: other }: Head): number {
  return one.done === true || other.done === true ? 0 : compareEntries(one.value, other.value)
}

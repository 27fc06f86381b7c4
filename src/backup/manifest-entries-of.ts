import { fromBytePath } from '../platform/byte-path.ts'
import type { ManifestEntry } from '../repository/manifest-entry.ts'
import { compareEntries } from '../repository/manifest-writer.ts'
import type { CopiedCluster } from './copy-cluster.ts'
import { type ScannedDirectory, type ScannedLink } from './scan.ts'

/** Files, directories and links in the manifest's order, one at a time: there may be a million. */
export function manifestEntriesOf({
  scan,
  copier,
  damagedPages,
}: Pick<CopiedCluster, 'scan' | 'copier' | 'damagedPages'>): Generator<ManifestEntry> {
  const directories = scan.directories.values().map(toDirectoryEntry)
  const links = scan.links.values().map(toLinkEntry)
  return merge([directories, links, copier.copied.entries(scan.files, damagedPages)])
}

function toDirectoryEntry({ root, path, mode, owner }: ScannedDirectory): ManifestEntry {
  return { kind: 'directory', root, path: fromBytePath(path), mode, owner }
}

function toLinkEntry({ root, path, owner, target }: ScannedLink): ManifestEntry {
  return { kind: 'link', root, path: fromBytePath(path), owner, target: fromBytePath(target) }
}

/** Merges rows that are each in the manifest's order. */
function* merge(rows: readonly Iterator<ManifestEntry>[]): Generator<ManifestEntry> {
  const heads = rows.map((row) => ({ row, next: row.next() }))
  for (;;) {
    const open = heads.filter(({ next }) => next.done !== true)
    const [first, ...others] = open
    if (first === undefined) return
    const least = others.reduce((one, other) => (compareHeads(one, other) <= 0 ? one : other), first)
    if (least.next.done !== true) yield least.next.value
    least.next = least.row.next()
  }
}

interface Head {
  readonly next: IteratorResult<ManifestEntry>
}

function compareHeads({ next: one }: Head, { next: other }: Head): number {
  return one.done === true || other.done === true ? 0 : compareEntries(one.value, other.value)
}

import { toBytePath } from '../platform/byte-path.ts'
import type { FileEntry, ManifestEntry } from '../repository/manifest-entry.ts'
import { compareScanned, type ScannedFile } from './scan.ts'

/** A file of the scan and what the parent's manifest has under the same name. */
export interface MatchedFile {
  /** Index into `Scan.files`. */
  readonly index: number
  readonly file: ScannedFile
  readonly parent: FileEntry | undefined
}

/** Walks both side by side: they are in one order. Holds one entry of the manifest at a time. */
export async function* matchParent(
  files: readonly ScannedFile[],
  entries: AsyncIterable<ManifestEntry>,
): AsyncGenerator<MatchedFile> {
  const iterator = entries[Symbol.asyncIterator]()
  let next = await nextFile(iterator)
  try {
    for (const [index, file] of files.entries()) {
      while (next !== undefined && compareScanned(next.place, file) < 0) next = await nextFile(iterator)
      const isSame = next !== undefined && compareScanned(next.place, file) === 0
      yield { index, file, parent: isSame ? next?.entry : undefined }
    }
  } finally {
    await iterator.return?.()
  }
}

interface PlacedFile {
  readonly entry: FileEntry
  readonly place: Pick<ScannedFile, 'root' | 'path' | 'owner'>
}

async function nextFile(entries: AsyncIterator<ManifestEntry>): Promise<PlacedFile | undefined> {
  for (;;) {
    const next = await entries.next()
    if (next.done === true) return undefined
    const { value: entry } = next
    if (entry.kind !== 'file') continue
    const { root, path, owner } = entry
    return { entry, place: { root, path: toBytePath(path), owner } }
  }
}

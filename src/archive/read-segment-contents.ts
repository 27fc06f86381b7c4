import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import type { RunContext } from '../domain/run-context.ts'
import { parseSegmentName, type WalSegmentName } from '../domain/wal-segment.ts'
import type { SegmentContents } from '../wal/segment-contents.ts'
import { SegmentScanner } from '../wal/segment-scanner.ts'
import { archivedPages } from './archived-pages.ts'
import type { ArchivedFolders } from './archived-folders.ts'
import { readWalIndex, storeWalIndex } from './stored-wal-index.ts'
import { ambiguous } from './timeline-histories.ts'

/** What an archived segment holds, and how to read it itself. */
export interface StoredContents {
  readonly contents: SegmentContents
  readonly pages: (context: RunContext) => AsyncIterable<Uint8Array>
}

/**
 * What an archived segment holds: out of its index, or out of the segment, whose index is stored then. Undefined when it is
 * not archived. Throws `damaged`, and `target-ambiguous` when it has several contents.
 */
export async function readSegmentContents(
  segment: WalSegmentName,
  archived: ArchivedFolders,
  context: RunContext,
): Promise<StoredContents | undefined> {
  const { place } = archived
  const name = parseArchiveFileName(segment)
  const digests = await archived.contentsOf(name, context)
  const [digest, ...others] = digests
  if (digest === undefined) return undefined
  if (others.length > 0) throw ambiguous(name, place, digests)
  const endOffset = place.cluster.walSegmentSize
  const pages = (pagesContext: RunContext): AsyncIterable<Uint8Array> =>
    archivedPages({ name, place, endOffset }, pagesContext)
  const indexed = await readWalIndex({ name, digest, areChangesLate: true }, place, context)
  if (indexed !== undefined) return { contents: indexed, pages }
  const { startLsn } = parseSegmentName(segment, endOffset)
  const scanner = new SegmentScanner({ startLsn, sizeBytes: endOffset })
  for await (const piece of pages(context)) {
    scanner.push(piece)
    if (scanner.hasEnded) break
  }
  const contents = scanner.finish()
  await storeWalIndex({ name, digest, contents }, place, context)
  return { contents, pages }
}

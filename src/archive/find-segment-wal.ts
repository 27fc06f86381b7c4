import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { PathSegment } from '../domain/segment-path.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import { walPageSize } from '../wal/page-header.ts'
import type { ArchivePlace } from './archive-place.ts'
import { listContents } from './archived-contents.ts'
import { checkArchivedFile } from './check-archived-file.ts'
import { archivedPages } from './archived-pages.ts'

/** Where WAL may be found: in the archive, and beside a server that has not archived all of it yet. */
export interface WalSites {
  readonly place: ArchivePlace
  readonly walFolder: string
  /** Of the timeline that the server is on. */
  readonly history: TimelineHistory
}

/** The WAL of one segment, wherever it was found. */
export interface SegmentWal {
  readonly name: ArchiveFileName
  /** Of the archived content, when there is exactly one; undefined for a file of the server. */
  readonly digest: string | undefined
  /**
   * Its pages in order, in pieces of whole pages, up to the one that holds the last byte before `endOffset`. Its first
   * page is checked to be that of this segment. Each call reads it anew. Throws `damaged`, `target-ambiguous` and
   * `file-unreadable`.
   */
  readonly pages: (endOffset: number, context: RunContext) => AsyncIterable<Uint8Array>
}

const pieceBytes = 1024 * 1024

/**
 * The WAL of one step of a path: archived, or still at the server only. Undefined when it is nowhere. The youngest
 * timeline that has the segment serves: see `segmentPath`.
 */
export async function findSegmentWal(
  step: PathSegment,
  sites: WalSites,
  context: RunContext,
): Promise<SegmentWal | undefined> {
  for (const candidate of step.candidates) {
    const name = parseArchiveFileName(candidate.name)
    const found =
      (await findArchived(name, sites, context)) ??
      (await findAtServer(name, sites)) ??
      // What was archived and taken away between the two looks is found by a third.
      (await findArchived(name, sites, context))
    if (found !== undefined) return found
  }
  return undefined
}

async function findArchived(
  name: ArchiveFileName,
  { place }: WalSites,
  context: RunContext,
): Promise<SegmentWal | undefined> {
  const [digest, ...others] = await listContents(name, place, context)
  if (digest === undefined) return undefined
  return {
    name,
    digest: others.length === 0 ? digest : undefined,
    pages: (endOffset, pagesContext) => archivedPages({ name, place, endOffset }, pagesContext),
  }
}

async function findAtServer(name: ArchiveFileName, sites: WalSites): Promise<SegmentWal | undefined> {
  const path = join(sites.walFolder, name.name)
  const file = await openHere(path)
  if (file === undefined) return undefined
  await file.close()
  return {
    name,
    digest: undefined,
    pages: (endOffset, context) => localPages({ name, path, endOffset }, sites, context),
  }
}

/** A file of a running server. It may be renamed and used for another segment while it is read: the pages show that. */
async function* localPages(
  { name, path, endOffset }: { name: ArchiveFileName; path: string; endOffset: number },
  { place, history }: WalSites,
  context: RunContext,
): AsyncGenerator<Uint8Array, void> {
  await using file = await openHere(path)
  if (file === undefined) throw unreadable(path, 'it is gone')
  const { size } = await file.stat()
  const end = Math.min(size, Math.ceil(endOffset / walPageSize) * walPageSize)
  for (let offset = 0; offset < end; offset += pieceBytes) {
    context.signal.throwIfAborted()
    const bytes = await readPiece(file, { path, offset, length: Math.min(pieceBytes, end - offset) })
    if (offset === 0) {
      const against = { cluster: place.cluster, history: historyOf(history, name.timeline) }
      const verdict = checkArchivedFile(name, { bytes, sizeBytes: size }, against)
      if (verdict.kind === 'invalid') throw unreadable(path, `it ${verdict.reason}`)
    }
    yield bytes
  }
}

/** The history of a timeline that another one's history passes through. */
function historyOf({ ancestors }: TimelineHistory, timeline: ArchiveFileName['timeline']): TimelineHistory {
  return { timeline, ancestors: ancestors.filter((ancestor) => ancestor.timeline < timeline) }
}

async function openHere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw unreadable(path, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

async function readPiece(
  file: FileHandle,
  { path, offset, length }: { path: string; offset: number; length: number },
): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done)
    if (bytesRead === 0) throw unreadable(path, `expected ${length} bytes at ${offset}, found ${done}`)
    done += bytesRead
  }
  return bytes
}

function unreadable(path: string, found: string, cause?: unknown): OperationError {
  return new OperationError('file-unreadable', `reading the WAL in "${path}": ${found}`, {
    ...(cause !== undefined && { cause }),
  })
}

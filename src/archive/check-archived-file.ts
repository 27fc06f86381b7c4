import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { parsePostgresMajor } from '../domain/postgres-version.ts'
import { parseTimelineHistory, type TimelineHistory } from '../domain/timeline-history.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { ClusterRecord } from '../repository/cluster-record.ts'
import { walPageSize } from '../wal/page-header.ts'
import { validateSegment, type SegmentVerdict } from '../wal/validate-segment.ts'

/** The beginning of a file, which must be at least its first WAL page if it is that long, and how long the file is. */
export interface FileBeginning {
  readonly bytes: Uint8Array
  readonly sizeBytes: number
}

export interface CheckAgainst {
  readonly cluster: Pick<ClusterRecord, 'systemIdentifier' | 'major' | 'walSegmentSize'>
  /** Of the name's timeline, when it is at hand. */
  readonly history: TimelineHistory | undefined
}

/** History files and backup notes are text of a few lines; PostgreSQL itself reads no larger ones with sense. */
export const largestTextBytes = 1024 * 1024

/**
 * Whether these bytes may stand under this name in the archive of this cluster (R25, R26): segments by their first page
 * and length, history files by their lines, backup notes by the segment that they name.
 */
export function checkArchivedFile(
  name: ArchiveFileName,
  file: FileBeginning,
  against: CheckAgainst,
): SegmentVerdict {
  switch (name.kind) {
    case 'segment':
    case 'partial':
      return checkSegment(name.name, file, against)
    case 'history':
      return checkText(file) ?? checkHistory(name.timeline, file.bytes)
    case 'backup-history':
      return checkText(file) ?? checkBackupNote(name.segment, file.bytes)
  }
}

function checkSegment(
  name: string,
  { bytes, sizeBytes }: FileBeginning,
  { cluster, history }: CheckAgainst,
): SegmentVerdict {
  if (bytes.length < Math.min(sizeBytes, walPageSize))
    return invalid(`begins with a piece of ${bytes.length} bytes, expected a whole WAL page`)
  return validateSegment(
    { firstPage: bytes, sizeBytes },
    {
      name,
      segmentSize: cluster.walSegmentSize,
      systemIdentifier: BigInt(cluster.systemIdentifier),
      major: parsePostgresMajor(cluster.major.toString()),
      history,
    },
  )
}

function checkText({ bytes, sizeBytes }: FileBeginning): SegmentVerdict | undefined {
  if (sizeBytes > largestTextBytes)
    return invalid(`is ${sizeBytes} bytes long, expected at most ${largestTextBytes}`)
  if (sizeBytes === 0) return invalid('is empty')
  return bytes.includes(0) ? invalid('holds zero bytes, expected text') : undefined
}

function checkHistory(
  timeline: Parameters<typeof parseTimelineHistory>[0],
  bytes: Uint8Array,
): SegmentVerdict {
  try {
    const { ancestors } = parseTimelineHistory(timeline, decodeText(bytes))
    return ancestors.length > 0 ? { kind: 'valid' } : invalid('names no ancestor')
  } catch (error) {
    if (isOperationError(error, 'damaged')) return invalid(`cannot be used: ${error.message}`)
    if (isOperationError(error, 'usage')) return invalid(`cannot be used: ${error.message}`)
    throw error
  }
}

/** Its first line says "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)". */
function checkBackupNote(segment: string, bytes: Uint8Array): SegmentVerdict {
  const [, named] = /^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)$/m.exec(decodeText(bytes)) ?? []
  if (named === segment) return { kind: 'valid' }
  return invalid(`names ${named === undefined ? 'no segment' : `segment "${named}"`}, expected "${segment}"`)
}

/** As PostgreSQL writes it: the reason in a history may hold any bytes, which only have to survive. */
export function decodeText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

const invalid = (reason: string): SegmentVerdict => ({ kind: 'invalid', reason })

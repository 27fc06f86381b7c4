import assert from 'node:assert/strict'
import type { Brand } from './brand.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'
import { formatTimelineHex, parseTimelineHex, type TimelineId } from './timeline.ts'
import { isWalSegmentName, type WalSegmentName } from './wal-segment.ts'

/** `0000000A.history` */
export type HistoryFileName = Brand<string, 'HistoryFileName'>

/**
 * What PostgreSQL hands to an archive_command: a segment; the last segment of a dead timeline, not filled; the
 * ancestors of a timeline; or the note that a base backup ended (R26).
 */
export type ArchiveFileName =
  | { readonly kind: 'segment'; readonly name: WalSegmentName; readonly timeline: TimelineId }
  | {
      readonly kind: 'partial'
      readonly name: string
      readonly timeline: TimelineId
      readonly segment: WalSegmentName
    }
  | { readonly kind: 'history'; readonly name: HistoryFileName; readonly timeline: TimelineId }
  | {
      readonly kind: 'backup-history'
      readonly name: string
      readonly timeline: TimelineId
      readonly segment: WalSegmentName
      /** Where in the segment the backup's first record stands, in bytes. */
      readonly startOffset: number
    }

const longestName = 64
const writtenName = /^([0-9A-F]{24})(?:\.(?:(partial)|([0-9A-F]{8})\.backup))?$/

export function historyFileName(timeline: TimelineId): HistoryFileName {
  const name = `${formatTimelineHex(timeline)}.history`
  assert(isHistoryFileName(name))
  return name
}

/** Undefined for every name that PostgreSQL never archives. */
export function classifyArchiveFileName(text: string): ArchiveFileName | undefined {
  if (text.length > longestName) return undefined
  const timeline = parseTimelineHex(text.slice(0, 8))
  if (timeline === undefined) return undefined
  if (isHistoryFileName(text)) return { kind: 'history', name: text, timeline }

  const [, segment = '', partial, startOffset] = writtenName.exec(text) ?? []
  if (!isWalSegmentName(segment)) return undefined
  if (partial !== undefined) return { kind: 'partial', name: text, timeline, segment }
  if (startOffset === undefined) return { kind: 'segment', name: segment, timeline }
  return {
    kind: 'backup-history',
    name: text,
    timeline,
    segment,
    startOffset: Number.parseInt(startOffset, 16),
  }
}

/** Refuses every name that PostgreSQL never archives, above all paths. */
export function parseArchiveFileName(text: string): ArchiveFileName {
  const name = classifyArchiveFileName(text)
  if (name === undefined) {
    throw new OperationError('usage', `${quote(text)} is not the name of a file that PostgreSQL archives`, {
      hint: 'Give a WAL segment, or a .partial, .history or .backup file; %f and %p in the command stand for them.',
    })
  }
  return name
}

function isHistoryFileName(text: string): text is HistoryFileName {
  return text.endsWith('.history') && parseTimelineHex(text.slice(0, -'.history'.length)) !== undefined
}

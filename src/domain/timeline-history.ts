import { formatLsn, parseLsn, toLsn, type Lsn } from './lsn.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'
import { formatTimelineHex, isTimelineId, type TimelineId } from './timeline.ts'

/** A timeline and the timelines that it came out of, oldest first: the content of its `.history` file. */
export interface TimelineHistory {
  readonly timeline: TimelineId
  readonly ancestors: readonly TimelineAncestor[]
}

interface TimelineAncestor {
  readonly timeline: TimelineId
  /** Where it was left: the first byte that belongs to its successor. */
  readonly endLsn: Lsn
  /** What PostgreSQL wrote down as the cause, for people. */
  readonly reason: string
}

/** The part of one timeline that belongs to a history. The youngest has no end. */
export interface TimelineSpan {
  readonly timeline: TimelineId
  readonly startLsn: Lsn
  readonly endLsn: Lsn | undefined
}

const writtenLine = /^\s*([0-9]{1,10})\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(?:\s+(.*))?$/s

/**
 * Reads a `.history` file by the rules of readTimeLineHistory in access/transam/timeline.c: empty lines and comments
 * are passed over, ids rise and stay below the timeline's own. LSNs may fall: a recovery to a moment before a fork
 * writes such a history.
 */
export function parseTimelineHistory(timeline: TimelineId, text: string): TimelineHistory {
  const ancestors: TimelineAncestor[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue
    const ancestor = parseAncestor(line)
    const youngest = ancestors.at(-1)?.timeline ?? 0
    if (ancestor === undefined) throw damaged(timeline, index, `${quote(line)} is not a timeline and an LSN`)
    if (ancestor.timeline <= youngest) {
      throw damaged(timeline, index, `timeline ${ancestor.timeline} follows timeline ${youngest}`)
    }
    if (ancestor.timeline >= timeline) {
      throw damaged(timeline, index, `timeline ${ancestor.timeline} is not older than timeline ${timeline}`)
    }
    ancestors.push(ancestor)
  }
  return { timeline, ancestors }
}

/** As PostgreSQL writes it, with an empty line between ancestors. */
export function formatTimelineHistory({ ancestors }: TimelineHistory): string {
  return ancestors
    .map(({ timeline, endLsn, reason }) => `${timeline}\t${formatLsn(endLsn)}\t${reason}\n`)
    .join('\n')
}

/** The spans of all timelines that a recovery along this history reads, oldest first and without holes. */
export function timelineSpans({ timeline, ancestors }: TimelineHistory): TimelineSpan[] {
  const spans: TimelineSpan[] = []
  let end: Lsn | undefined
  for (let index = ancestors.length; index >= 0; index -= 1) {
    const startLsn = ancestors[index - 1]?.endLsn ?? toLsn(0n)
    // A timeline that was left before it began, or at once, holds nothing of this history.
    if (end === undefined || startLsn < end) {
      spans.unshift({ timeline: ancestors[index]?.timeline ?? timeline, startLsn, endLsn: end })
      end = startLsn
    }
  }
  return spans
}

/** The timeline that the byte at `lsn` belongs to: tliOfPointInHistory in access/transam/timeline.c. */
export function timelineAt(history: TimelineHistory, lsn: Lsn): TimelineId {
  return timelineSpans(history).findLast(({ startLsn }) => startLsn <= lsn)?.timeline ?? history.timeline
}

/**
 * Whether a recovery along this history passes through the end of a backup: its timeline is in the history and was
 * left at or after `lsn`, the backup's stop LSN (R37).
 */
export function isReachable(
  history: TimelineHistory,
  { timeline, lsn }: { readonly timeline: TimelineId; readonly lsn: Lsn },
): boolean {
  return timelineAt(history, lsn === 0n ? lsn : toLsn(lsn - 1n)) === timeline
}

function parseAncestor(line: string): TimelineAncestor | undefined {
  const [, id = '', lsn = '', reason = ''] = writtenLine.exec(line) ?? []
  const timeline = Number(id)
  if (!isTimelineId(timeline)) return undefined
  const endLsn = parseLsn(lsn)
  return endLsn === 0n ? undefined : { timeline, endLsn, reason }
}

function damaged(timeline: TimelineId, index: number, found: string): OperationError {
  return new OperationError(
    'damaged',
    `the history of timeline ${timeline} is not usable: line ${index + 1}: ${found}`,
    {
      hint: `Fetch ${formatTimelineHex(timeline)}.history again from the server or from another repository.`,
    },
  )
}

import assert from 'node:assert/strict'
import type { Brand } from './brand.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'

/** Names one branch of a cluster's write-ahead log: 1 to 2^32 - 1. A promotion starts a new one. */
export type TimelineId = Brand<number, 'TimelineId'>

const greatestTimeline = 0xffff_ffff
const writtenDecimal = /^[1-9][0-9]{0,9}$/
const writtenHex = /^[0-9A-F]{8}$/

export function isTimelineId(value: number): value is TimelineId {
  return Number.isInteger(value) && value >= 1 && value <= greatestTimeline
}

export function toTimelineId(value: number): TimelineId {
  assert(isTimelineId(value), `${value} is not a timeline id`)
  return value
}

/** Reads what a user writes. Decimal only: the hex of a file name would be misread from timeline 10 on (R29). */
export function parseTimelineId(text: string): TimelineId {
  const value = writtenDecimal.test(text) ? Number(text) : 0
  if (!isTimelineId(value)) {
    throw new OperationError('usage', `${quote(text)} is not a timeline`, {
      hint: 'Write the timeline as a decimal number; 0000000A in a file name is timeline 10.',
    })
  }
  return value
}

/** Reads the eight upper-case hex digits of a file name; undefined when they name no timeline. */
export function parseTimelineHex(text: string): TimelineId | undefined {
  const value = writtenHex.test(text) ? Number.parseInt(text, 16) : 0
  return isTimelineId(value) ? value : undefined
}

/** As it stands in the names of WAL segments and history files: eight upper-case hex digits (R29). */
export function formatTimelineHex(timeline: TimelineId): string {
  return timeline.toString(16).toUpperCase().padStart(8, '0')
}

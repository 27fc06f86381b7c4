import assert from 'node:assert/strict'
import type { Brand } from './brand.ts'
import { epochMsOf } from './calendar.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'
import { openTimeZone, readLocalTime, type LocalTimeReading } from './time-zone.ts'

/** A moment: microseconds since the Unix epoch, UTC, in the years 0001 to 9999. PostgreSQL counts as finely (M18). */
export type Instant = Brand<bigint, 'Instant'>

const earliest = -62_135_596_800_000_000n
const latest = 253_402_300_799_999_999n
/** PostgreSQL's TimestampTz counts from 2000-01-01. */
const postgresEpoch = 946_684_800_000_000n
const farthestOffsetMinutes = 15 * 60 + 59

const writtenTime =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(?: ?(Z|[+-]\d\d(?::?\d\d)?)| ([A-Za-z][\w+/-]*))?$/

interface WrittenTime {
  readonly text: string
  /** Date and time of day as they were written, without zone. */
  readonly local: string
  /** When a clock on UTC shows that date and time, without the fraction of the second. */
  readonly localMs: number
  readonly microseconds: bigint
  readonly offset: string | undefined
  readonly zone: string | undefined
}

export function toInstant(microseconds: bigint): Instant {
  assert(isInstant(microseconds), `${microseconds} is not in the years 0001 to 9999`)
  return microseconds
}

export function instantFromMs(epochMs: number): Instant {
  return toInstant(BigInt(Math.floor(epochMs)) * 1000n)
}

/** Takes a TimestampTz out of a WAL record or a backup: microseconds since 2000-01-01. */
export function instantFromPostgres(timestamp: bigint): Instant {
  const microseconds = timestamp + postgresEpoch
  if (!isInstant(microseconds)) {
    throw new OperationError('damaged', `timestamp ${timestamp} is not in the years 0001 to 9999`)
  }
  return microseconds
}

export function instantToPostgres(instant: Instant): bigint {
  return instant - postgresEpoch
}

/** RFC 3339 in UTC, always with six digits after the point. */
export function formatInstant(instant: Instant): string {
  const microseconds = ((instant % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = new Date(Number((instant - microseconds) / 1000n)).toISOString().slice(0, 19)
  return `${seconds}.${microseconds.toString().padStart(6, '0')}Z`
}

/** For recovery_target_time: says its zone, so that no server setting can change what it means (R42). */
export function formatForPostgres(instant: Instant): string {
  return formatInstant(instant).replace('T', ' ').replace('Z', '+00')
}

/**
 * Reads a moment that an operator wrote: RFC 3339, or a local time and an offset or the name of a place. Whatever two
 * readers could take for two moments is refused: no zone, an abbreviation, a time that the clocks of the place showed
 * twice or never (`target-ambiguous`), words and bare numbers (R42, M20).
 */
export function parseTargetTime(text: string): Instant {
  const written = readWrittenTime(text)
  const epochMs =
    written.offset === undefined ? zonedEpochMs(written) : written.localMs - offsetMs(written, written.offset)
  const instant = BigInt(epochMs) * 1000n + written.microseconds
  if (!isInstant(instant)) throw refused(text, 'is not in the years 0001 to 9999 of UTC', acceptedForms())
  return instant
}

function isInstant(microseconds: bigint): microseconds is Instant {
  return microseconds >= earliest && microseconds <= latest
}

function readWrittenTime(text: string): WrittenTime {
  const match = writtenTime.exec(text)
  if (match === null) throw refused(text, 'is not a date, a time and a zone', acceptedForms())
  const [, year, month, day, hour, minute, second = '0', fraction = '', offset, zone] = match
  const localMs = epochMsOf({
    year: Number(year),
    month: Number(month),
    day: Number(day),
    hour: Number(hour),
    minute: Number(minute),
    second: Number(second),
  })
  if (localMs === undefined) throw refused(text, 'is not on the calendar', acceptedForms())
  const local = /^.{10}[T ][\d:.]+/.exec(text)?.[0] ?? text
  return { text, local, localMs, microseconds: BigInt(fraction.padEnd(6, '0')), offset, zone }
}

function offsetMs({ text, local }: WrittenTime, offset: string): number {
  if (offset === 'Z') return 0
  const [hours, minutes] = [Number(offset.slice(1, 3)), Number(offset.slice(3).replace(':', ''))]
  const total = hours * 60 + minutes
  if (minutes > 59 || total > farthestOffsetMinutes) {
    throw refused(text, `has an offset that no place has, "${offset}"`, acceptedForms(local))
  }
  return (offset.startsWith('-') ? -total : total) * 60_000
}

function zonedEpochMs({ text, local, localMs, zone }: WrittenTime): number {
  if (zone === undefined) throw refused(text, 'names no time zone', acceptedForms(local))
  const timeZone = openTimeZone(zone)
  if (timeZone === undefined) {
    throw refused(
      text,
      `names the zone ${quote(zone)}, which is not the name of a place`,
      acceptedForms(local),
    )
  }
  const reading = readLocalTime(timeZone, localMs)
  if (reading.kind === 'once') return reading.epochMs
  throw ambiguous(text, reading)
}

function ambiguous(
  text: string,
  { kind, earlierMs, laterMs }: Exclude<LocalTimeReading, { kind: 'once' }>,
): OperationError {
  const fraction = /\.\d+/.exec(text)?.[0] ?? ''
  const show = (epochMs: number): string => new Date(epochMs).toISOString().replace('.000Z', `${fraction}Z`)
  const [earlier, later] = [show(earlierMs), show(laterMs)]
  const found =
    kind === 'twice'
      ? `came twice, because clocks were set back: at ${earlier} and at ${later}`
      : `never came, because clocks were set forward: it could mean ${earlier} or ${later}`
  return new OperationError('target-ambiguous', `target time ${quote(text)} ${found}`, {
    hint: `Say which one is meant: write "${earlier}" or "${later}".`,
  })
}

function refused(text: string, found: string, hint: string): OperationError {
  return new OperationError('usage', `target time ${quote(text)} ${found}`, { hint })
}

function acceptedForms(local = '2026-02-20 15:30:00'): string {
  return `Write an offset or a place, for example "${local}+01:00", "${local}Z" or "${local} Europe/Berlin".`
}

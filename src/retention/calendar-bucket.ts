import { epochMsOf } from '../domain/calendar.ts'
import { formatInstant, toInstant, type Instant } from '../domain/target-time.ts'
import type { Period } from './keep-rules.ts'

const dayMicroseconds = 86_400_000_000n

/**
 * The day, ISO week, month or year that a moment is in, by the calendar of UTC: there every day has 24 hours, and who looks
 * from where does not change what is kept. Two moments are in the same one when the texts are the same.
 */
export function calendarBucket(instant: Instant, period: Period): string {
  const day = formatInstant(instant).slice(0, 10)
  switch (period) {
    case 'daily':
      return day
    case 'weekly':
      return isoWeek(instant)
    case 'monthly':
      return day.slice(0, 7)
    case 'yearly':
      return day.slice(0, 4)
  }
}

/** ISO 8601: weeks begin on Monday, and a week belongs to the year that its Thursday is in. */
function isoWeek(instant: Instant): string {
  // 1970-01-01 was a Thursday. Floored, for moments before it too.
  const dayNumber = (instant - floorRemainder(instant, dayMicroseconds)) / dayMicroseconds
  const thursday = dayNumber - floorRemainder(dayNumber + 3n, 7n) + 3n
  const year = formatInstant(clamped(thursday)).slice(0, 4)
  const midnight = { month: 1, day: 1, hour: 0, minute: 0, second: 0 }
  const firstOfYear = BigInt(epochMsOf({ year: Number(year), ...midnight }) ?? 0) / 86_400_000n
  const week = (thursday - firstOfYear) / 7n + 1n
  return `${year}-W${String(week).padStart(2, '0')}`
}

const floorRemainder = (value: bigint, divisor: bigint): bigint => ((value % divisor) + divisor) % divisor

const lastDay = 2_932_896n

/** The Thursday of the last week of the year 9999 is not an instant any more. */
const clamped = (day: bigint): Instant => toInstant((day > lastDay ? lastDay : day) * dayMicroseconds)

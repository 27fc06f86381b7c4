/** A date and a time of day, not yet tied to a place. */
export interface CalendarTime {
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
}

/**
 * Milliseconds since the Unix epoch at which a clock on UTC shows this time; undefined when no calendar has it, as 30
 * February or second 60. Years 1 to 9999.
 */
export function epochMsOf({ year, month, day, hour, minute, second }: CalendarTime): number | undefined {
  const date = new Date(0)
  // Not Date.UTC, which takes year 26 for 1926.
  date.setUTCFullYear(year, month - 1, day)
  date.setUTCHours(hour, minute, second)
  const isSame =
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hour &&
    date.getUTCMinutes() === minute &&
    date.getUTCSeconds() === second
  return isSame && year >= 1 && year <= 9999 ? date.getTime() : undefined
}

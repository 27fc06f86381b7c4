const hourMs = 3_600_000
/** No place was ever further from UTC: Manila was 15:56:08 behind until 1844. */
const farthestHours = 16

/** A zone of the IANA database, named by a place. */
export type TimeZone = Intl.DateTimeFormat

/** The moments at which the clocks of a place show one time, in milliseconds since the Unix epoch. */
export type LocalTimeReading =
  | { readonly kind: 'once'; readonly epochMs: number }
  /** Clocks were set back: the time came twice. */
  | { readonly kind: 'twice'; readonly earlierMs: number; readonly laterMs: number }
  /** Clocks were set forward: the time was left out. The two moments are what it would mean by the clock after and before. */
  | { readonly kind: 'never'; readonly earlierMs: number; readonly laterMs: number }

/**
 * Undefined for a name that the IANA database lacks and for one that is not a place: abbreviations (EST, IST) mean
 * different things to different servers (M20), and the sign of Etc/GMT+5 is the opposite of an offset's.
 */
export function openTimeZone(name: string): TimeZone | undefined {
  const isUtc = name.toUpperCase() === 'UTC' || name.toUpperCase() === 'ETC/UTC'
  if (!isUtc && (!name.includes('/') || /^etc\//i.test(name))) return undefined
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' })
  } catch {
    // RangeError is how Intl says that there is no such zone.
    return undefined
  }
}

/** How far the clocks of a place are ahead of UTC at a moment. */
export function zoneOffsetMs(zone: TimeZone, epochMs: number): number {
  const shown = zone.formatToParts(epochMs).find(({ type }) => type === 'timeZoneName')?.value ?? ''
  const [, sign, hours = '0', minutes = '0', seconds = '0'] =
    /([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(shown) ?? []
  const offsetMs = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000
  return sign === '-' ? -offsetMs : offsetMs
}

/** Finds when the clocks of a place show a time; `localMs` is when a clock on UTC shows it. */
export function readLocalTime(zone: TimeZone, localMs: number): LocalTimeReading {
  const offsets = offsetsAround(zone, localMs)
  const moments = offsets.map((offsetMs) => localMs - offsetMs)
  const [first, second] = moments.filter((moment) => moment + zoneOffsetMs(zone, moment) === localMs)
  if (first === undefined) {
    return { kind: 'never', earlierMs: Math.min(...moments), laterMs: Math.max(...moments) }
  }
  if (second === undefined) return { kind: 'once', epochMs: first }
  return { kind: 'twice', earlierMs: Math.min(first, second), laterMs: Math.max(first, second) }
}

/** Every offset that is in force at some time when it could be `localMs` at the place. */
function offsetsAround(zone: TimeZone, localMs: number): number[] {
  const hours = Array.from({ length: 2 * farthestHours + 1 }, (_, index) => index - farthestHours)
  return [...new Set(hours.map((hour) => zoneOffsetMs(zone, localMs + hour * hourMs)))]
}

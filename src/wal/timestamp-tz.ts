/** 2000-01-01 00:00:00 UTC, from which PostgreSQL counts, in microseconds of the Unix epoch (datatype/timestamp.h). */
const postgresEpoch = 946_684_800_000_000n

/** Microseconds since the Unix epoch, from PostgreSQL's TimestampTz. Does not fit a `Date`: that has milliseconds (M18). */
export function toUnixMicroseconds(timestampTz: bigint): bigint {
  return timestampTz + postgresEpoch
}

/** `2026-02-20 15:30:00.000001+00`: UTC, always six digits, accepted by every server as it is (M18, M20). */
export function formatTimestampTz(timestampTz: bigint): string {
  const microseconds = toUnixMicroseconds(timestampTz)
  const fraction = ((microseconds % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = (microseconds - fraction) / 1_000_000n
  const moment = new Date(Number(seconds) * 1000)
  // Beyond the years that a Date can hold there is only damage to be seen, and a number shows it best.
  if (Number.isNaN(moment.getTime()) || moment.getUTCFullYear() > 9999 || moment.getUTCFullYear() < 0) {
    return `timestamp ${timestampTz}`
  }
  const whole = moment.toISOString().slice(0, 19).replace('T', ' ')
  return `${whole}.${fraction.toString().padStart(6, '0')}+00`
}

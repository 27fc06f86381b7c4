import { nounOf, type BackupLabel } from '../domain/backup-label.ts'
import { formatDuration } from '../domain/duration.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'

/** So far the clocks of two hosts may be apart: a backup's times are of the server's clock, "now" is of ours (T2). */
const skewMs = 10 * 60 * 1000
/** A backup or a dump, as far as it tells the time. */
export type Ended = Pick<ListedBackup, 'label' | 'stoppedAt'>

const leastSilenceMs = 30 * 24 * 60 * 60 * 1000
const intervalsOfSilence = 10
/** The usual time between two backups is the median of so many. */
const mostIntervals = 20
/** A silence before one of so many newest backups counts; older ones may be there because retention made them. */
const newestGaps = 2
/** And before one of so many newest entries of the catalogue, from which retention takes nothing new. */
const newestEntries = 10

/** What the clock is held against. */
export interface Moments {
  readonly nowMs: number
  /** Those whose time is not doubted, as they were listed. */
  readonly listed: readonly Ended[]
  /** What they are. */
  readonly noun: 'backup' | 'backup or dump'
  /** When the entries of the catalogue were stored, by the store's clock. */
  readonly writtenAtMs: readonly number[]
}

/**
 * Why nothing must be forgotten by this clock (R67, T1); undefined when nothing speaks against it. What it takes for
 * impossible is a silence ten times as long as is usual between two backups, of 30 days at least: before now, before one
 * of the newest backups or before one of the newest entries of the catalogue. A clock that jumped ahead looks like that,
 * also when the backup that was just taken and the store follow the same one.
 */
export function doubtClock({ nowMs, listed, noun, writtenAtMs }: Moments): string | undefined {
  const ended = listed.map(endMs)
  const allowed = Math.max(leastSilenceMs, intervalsOfSilence * usualIntervalMs(ended))
  const now = formatInstant(instantFromMs(nowMs))
  const latest = Math.max(...ended)
  const expected = `where at most ${formatDuration(allowed)} were expected`
  if (nowMs - latest > allowed)
    return `it is ${now}, and the newest ${noun} is ${formatDuration(nowMs - latest)} old, ${expected}`
  const gap = longestGap(ended, newestGaps)
  if (gap.lengthMs > allowed)
    return `no ${noun} ended in the ${formatDuration(gap.lengthMs)} before ${timeOf(gap.endMs)}, ${expected}`
  const silence = longestGap([...writtenAtMs.toSorted((one, other) => one - other), nowMs], newestEntries)
  if (silence.lengthMs <= allowed) return undefined
  return `nothing was listed in the repository in the ${formatDuration(silence.lengthMs)} before ${timeOf(silence.endMs)}, ${expected}`
}

interface Gap {
  readonly lengthMs: number
  readonly endMs: number
}

function longestGap(moments: readonly number[], newest: number): Gap {
  const last = moments.slice(-newest - 1)
  return last
    .slice(1)
    .map((moment, index) => ({ lengthMs: moment - (last[index] ?? moment), endMs: moment }))
    .reduce((longest, gap) => (gap.lengthMs > longest.lengthMs ? gap : longest), { lengthMs: 0, endMs: 0 })
}

/**
 * Backups, or dumps, whose time cannot be true, and why (T1): those that ended in the future, and those that ended before one that was
 * listed before them. Of the latter, whatever is not needed to bring the others into the order in which they were listed.
 */
export function findDoubtfulTimes(listed: readonly Ended[], nowMs: number): ReadonlyMap<BackupLabel, string> {
  const doubtful = new Map<BackupLabel, string>()
  for (const backup of listed) {
    if (endMs(backup) > nowMs + skewMs)
      doubtful.set(
        backup.label,
        `it is ${timeOf(nowMs)}, but ${nounOf(backup.label)} ${backup.label} ended at ${timeOf(endMs(backup))}`,
      )
  }
  const past = listed.filter(({ label }) => !doubtful.has(label))
  const certain = inOrder(past.map(endMs))
  for (const [index, { label }] of past.entries()) {
    if (!certain.has(index))
      doubtful.set(
        label,
        `${nounOf(label)} ${label} was listed before others that ended before it, or after others that ended after it`,
      )
  }
  return doubtful
}

/** The places in a row that are in every longest rising part of it, but for what clocks may differ. */
function inOrder(moments: readonly number[]): ReadonlySet<number> {
  const backwards = moments.map((moment) => -moment).toReversed()
  const until = risingLengths(moments)
  const from = risingLengths(backwards).toReversed()
  const longest = Math.max(0, ...until)
  const isIn = (index: number): boolean => (until[index] ?? 0) + (from[index] ?? 0) - 1 === longest
  const places = Map.groupBy(moments.keys().filter(isIn), (index) => until[index])
  return new Set([...places.values()].filter(({ length }) => length === 1).flat())
}

/** For each place, how long the longest rising part is that ends there. */
function risingLengths(moments: readonly number[]): readonly number[] {
  const lengths: number[] = []
  for (const [index, moment] of moments.entries()) {
    let longest = 0
    // Usually the one before is the end of the longest part, and nothing is to be looked at behind that.
    for (let before = index - 1; before >= 0 && longest <= before; before -= 1)
      if ((moments[before] ?? 0) <= moment + skewMs) longest = Math.max(longest, lengths[before] ?? 0)
    lengths.push(longest + 1)
  }
  return lengths
}

const endMs = ({ stoppedAt }: Ended): number => Number(stoppedAt / 1000n)
const timeOf = (epochMs: number): string => formatInstant(instantFromMs(epochMs))

function usualIntervalMs(ended: readonly number[]): number {
  const newest = ended.slice(-mostIntervals - 1)
  const intervals = newest
    .slice(1)
    .map((end, index) => end - (newest[index] ?? end))
    .toSorted((one, other) => one - other)
  return intervals[Math.floor(intervals.length / 2)] ?? 0
}

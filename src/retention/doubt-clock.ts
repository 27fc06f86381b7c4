import { formatDuration } from '../domain/duration.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'

/** So far the clocks of two hosts may be apart: a backup's times are of the server's clock, "now" is of ours (T2). */
const skewMs = 10 * 60 * 1000
const leastSilenceMs = 30 * 24 * 60 * 60 * 1000
const intervalsOfSilence = 10
/** The usual time between two backups is the median of so many. */
const mostIntervals = 20

/**
 * Why the clock, or one of the times in the catalogue, must not decide what is forgotten (R67, T1); undefined when nothing
 * speaks against it. What it takes for impossible: a backup that ended in the future; one that was listed after another and
 * ended before it; and a silence ten times as long as is usual between two backups, of 30 days at least.
 */
export function doubtClock(listed: readonly ListedBackup[], nowMs: number): string | undefined {
  const ended = listed.map(({ stoppedAt }) => Number(stoppedAt / 1000n))
  const latest = Math.max(...ended)
  const now = formatInstant(instantFromMs(nowMs))
  if (latest > nowMs + skewMs) {
    const backup = listed[ended.indexOf(latest)]
    return `it is ${now}, but backup ${backup?.label ?? ''} ended at ${formatInstant(instantFromMs(latest))}`
  }
  const disorder = findDisorder(listed, ended)
  if (disorder !== undefined) return disorder
  const allowed = Math.max(leastSilenceMs, intervalsOfSilence * usualIntervalMs(ended))
  if (nowMs - latest <= allowed) return undefined
  return `it is ${now}, and the newest backup is ${formatDuration(nowMs - latest)} old, where at most ${formatDuration(allowed)} were expected`
}

function findDisorder(listed: readonly ListedBackup[], ended: readonly number[]): string | undefined {
  let before = 0
  for (const [index, end] of ended.entries()) {
    if (end < (ended[before] ?? end) - skewMs)
      return `backup ${listed[index]?.label ?? ''} was listed after backup ${listed[before]?.label ?? ''} and ended before it`
    if (end >= (ended[before] ?? end)) before = index
  }
  return undefined
}

function usualIntervalMs(ended: readonly number[]): number {
  const newest = ended.slice(-mostIntervals - 1)
  const intervals = newest
    .slice(1)
    .map((end, index) => end - (newest[index] ?? end))
    .toSorted((one, other) => one - other)
  return intervals[Math.floor(intervals.length / 2)] ?? 0
}

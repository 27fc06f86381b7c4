import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import type { RunEvent } from '../../domain/run-context.ts'

export type Progress = Extract<RunEvent, { kind: 'progress' }>

const barWidth = 24

/** For a log: `copying files: 1.2 GB of 4.4 GB (27 %), 240 MB/s, 13 s left`. */
export function describeProgress(event: Progress, elapsedMs: number): string {
  return `${event.phase}: ${[amount(event), ...pace(event, elapsedMs)].join(', ')}`
}

/** For a terminal: `copying files [######------] 1.2 GB of 4.4 GB (27 %)  240 MB/s  13 s left`. */
export function drawProgress(event: Progress, elapsedMs: number): string {
  const share = event.total > 0 ? Math.min(1, event.done / event.total) : 0
  const filled = Math.round(share * barWidth)
  const bar = event.total > 0 ? ` [${'#'.repeat(filled)}${'-'.repeat(barWidth - filled)}]` : ''
  return [`${event.phase}${bar} ${amount(event)}`, ...pace(event, elapsedMs)].join('  ')
}

function amount(event: Progress): string {
  const done = count(event.done, event.unit)
  if (event.total <= 0) return done
  const percent = Math.min(100, Math.floor((event.done / event.total) * 100))
  return `${done} of ${count(event.total, event.unit)} (${percent} %)`
}

/** The first second says too little about how fast it goes. */
const leastElapsedMs = 1000

function pace(event: Progress, elapsedMs: number): readonly string[] {
  if (elapsedMs < leastElapsedMs || event.done <= 0) return []
  const perSecond = (event.done / elapsedMs) * 1000
  const rate = `${event.unit === 'bytes' ? formatByteSize(Math.round(perSecond)) : `${perSecond.toFixed(1)} ${event.unit}`}/s`
  if (event.total <= event.done) return [rate]
  const leftMs = Math.ceil((event.total - event.done) / perSecond) * 1000
  return [rate, `${formatDuration(leftMs)} left`]
}

function count(number: number, unit: Progress['unit']): string {
  return unit === 'bytes' ? formatByteSize(number) : `${number} ${unit}`
}

import type { RecoveryWindow } from '../../app/recovery-window.ts'
import type { Instant } from '../../domain/target-time.ts'
import type { TimelineId } from '../../domain/timeline.ts'
import type { BackupEntry } from '../../repository/backup-entry.ts'

/** What is drawn of a backup and a window. */
export interface Pictured {
  readonly windows: readonly Pick<RecoveryWindow, 'timeline' | 'oldest' | 'toTime'>[]
  readonly backups: readonly Pick<BackupEntry, 'label' | 'type' | 'timeline' | 'stoppedAt'>[]
}

interface Stretch {
  readonly timeline: TimelineId
  readonly from: Instant
  readonly to: Instant
}

const width = 72
const marks = { reachable: '=', lost: '.', full: 'F', incr: 'I' } as const

/**
 * A line of time for each timeline: what can be reached, and where backups end. Empty when there is nothing to see, because
 * all of it is one moment.
 */
export function drawWindows({ windows, backups }: Pictured, timeText: (time: Instant) => string): string {
  const stretches = windows.map(({ timeline, oldest, toTime }) => ({
    timeline,
    from: oldest.stoppedAt,
    to: toTime === undefined || toTime < oldest.stoppedAt ? oldest.stoppedAt : toTime,
  }))
  const times = [...stretches.flatMap(({ from, to }) => [from, to]), ...backups.map((each) => each.stoppedAt)]
  const [first, last] = [times.reduce(earlier, times[0]), times.reduce(later, times[0])]
  if (stretches.length === 0 || first === undefined || last === undefined || first === last) return ''
  const column = (time: Instant): number => Number(((time - first) * BigInt(width - 1)) / (last - first))
  const timelines = new Set([...stretches, ...backups].map(({ timeline }) => timeline))
  const rows = [...timelines]
    .toSorted((one, other) => one - other)
    .map((timeline) => {
      const line = drawTimeline(timeline, { stretches, backups }, column)
      return `timeline ${String(timeline).padEnd(3)} |${line}|\n`
    })
  const [left, right] = [timeText(first), timeText(last)]
  const scale = `${' '.repeat(14)}${left}${right.padStart(width - left.length)}\n`
  const legend = `${' '.repeat(14)}${marks.reachable} can be reached  ${marks.lost} cannot  ${marks.full} full backup  ${marks.incr} incremental\n`
  return [...rows, scale, legend].join('')
}

function drawTimeline(
  timeline: TimelineId,
  { stretches, backups }: { readonly stretches: readonly Stretch[]; readonly backups: Pictured['backups'] },
  column: (time: Instant) => number,
): string {
  const own = stretches.filter((stretch) => stretch.timeline === timeline)
  const taken = backups.filter((backup) => backup.timeline === timeline)
  const begin = Math.min(
    ...own.map(({ from }) => column(from)),
    ...taken.map((each) => column(each.stoppedAt)),
  )
  const end = Math.max(...own.map(({ to }) => column(to)), ...taken.map((each) => column(each.stoppedAt)))
  const cells = Array.from({ length: width }, (_, at): string => {
    if (own.some(({ from, to }) => column(from) <= at && at <= column(to))) return marks.reachable
    return at > begin && at < end ? marks.lost : ' '
  })
  // A full one is not hidden by an incremental that follows soon.
  for (const { type, stoppedAt } of taken.toSorted(incrementalsFirst)) cells[column(stoppedAt)] = marks[type]
  return cells.join('')
}

const incrementalsFirst = (one: Pick<BackupEntry, 'type'>, other: Pick<BackupEntry, 'type'>): number =>
  Number(one.type === 'full') - Number(other.type === 'full')

const earlier = (one: Instant | undefined, other: Instant): Instant =>
  one === undefined || other < one ? other : one
const later = (one: Instant | undefined, other: Instant): Instant =>
  one === undefined || other > one ? other : one

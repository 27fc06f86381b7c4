import { parseBackupLabel } from '../../src/domain/backup-label.ts'
import { toLsn } from '../../src/domain/lsn.ts'
import { instantFromMs, parseTargetTime } from '../../src/domain/target-time.ts'
import { toTimelineId } from '../../src/domain/timeline.ts'
import type { ListedBackup } from '../../src/repository/backup-entry.ts'

export const dayMs = 24 * 60 * 60 * 1000

export interface SampleBackup extends Partial<
  Pick<ListedBackup, 'isPinned' | 'walRetention' | 'damagedPageCount'>
> {
  /** Of 2026, when it ended: 1 is midnight of the first of January, 1.5 noon. Its WAL begins at 100 times that. */
  readonly day: number
  /** Default: 1. */
  readonly timeline?: number
}

export const sampleDayMs = (day: number): number =>
  Number(parseTargetTime('2026-01-01T00:00:00Z') / 1000n) + Math.round((day - 1) * dayMs)

/** A backup as the catalogue lists it, of which only what retention looks at matters. */
export function sampleListed({ day, timeline = 1, ...changes }: SampleBackup): ListedBackup {
  const ended = sampleDayMs(day)
  const [date = '', time = ''] = new Date(ended).toISOString().split('T')
  const start = BigInt(Math.round(day * 100))
  return {
    label: parseBackupLabel(`${date.replaceAll('-', '')}-${time.slice(0, 8).replaceAll(':', '')}F`),
    type: 'full',
    major: 18,
    timeline: toTimelineId(timeline),
    startLsn: toLsn(start),
    stopLsn: toLsn(start + 5n),
    startedAt: instantFromMs(ended - 60_000),
    stoppedAt: instantFromMs(ended),
    fileCount: 1,
    restoredBytes: 1,
    storedBytes: 1,
    damagedPageCount: 0,
    revision: 1,
    manifestDigest: '',
    isPinned: false,
    walRetention: 'onward',
    ...changes,
  }
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sampleDayMs, sampleListed } from '../../../test/support/sample-listed.ts'
import { formatInstant, instantFromMs, type Instant } from '../../domain/target-time.ts'
import { toTimelineId } from '../../domain/timeline.ts'
import type { ListedBackup } from '../../repository/backup-entry.ts'
import { drawWindows, type Pictured } from './window-picture.ts'

const timeText = (time: Instant): string => formatInstant(time).slice(0, 10)

describe('the picture of the recovery windows', () => {
  test('shows what can be reached, holes, backups and timelines', () => {
    const backups = [
      sampleListed({ day: 1 }),
      incremental(sampleListed({ day: 10 })),
      sampleListed({ day: 40 }),
      sampleListed({ day: 60, timeline: 2 }),
    ]

    const picture = drawWindows(
      { backups, windows: [window(backups[0], 20), window(backups[2], 55), window(backups[3], 73)] },
      timeText,
    )

    assert.deepEqual(picture.split('\n'), [
      'timeline 1   |F=======I==========...................F===============                  |',
      'timeline 2   |                                                          F=============|',
      '              2026-01-01                                                    2026-03-14',
      '              = can be reached  . cannot  F full backup  I incremental',
      '',
    ])
  })

  test('is left out when there is nothing to see', () => {
    const backup = sampleListed({ day: 1 })

    const pictures = [
      drawWindows({ windows: [], backups: [backup] }, timeText),
      drawWindows({ windows: [window(backup, 1)], backups: [backup] }, timeText),
    ]

    assert.deepEqual(pictures, ['', ''])
  })

  test('has no end that is earlier than its beginning', () => {
    const [one, other] = [sampleListed({ day: 5 }), sampleListed({ day: 9 })]

    const picture = drawWindows(
      { windows: [window(one, undefined), window(other, 2)], backups: [] },
      timeText,
    )

    assert.match(picture, /^timeline 1 {3}\|={1}\.+={1}\|\n/)
  })
})

const incremental = (backup: ListedBackup): ListedBackup => ({ ...backup, type: 'incr' })

function window(oldest: ListedBackup | undefined, toDay: number | undefined): Pictured['windows'][number] {
  assert.ok(oldest)
  const toTime = toDay === undefined ? undefined : instantFromMs(sampleDayMs(toDay))
  return { timeline: toTimelineId(oldest.timeline), oldest, toTime }
}

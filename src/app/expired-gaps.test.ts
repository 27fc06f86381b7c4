import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sampleListed, type SampleBackup } from '../../test/support/sample-listed.ts'
import { toLsn } from '../domain/lsn.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { findWalGaps } from '../domain/wal-gaps.ts'
import { toWalSegmentSize } from '../domain/wal-segment.ts'
import { withoutExpiredGaps } from './expired-gaps.ts'

const mebibyte = 1024 * 1024

describe('withoutExpiredGaps', () => {
  test('leaves out a hole in front of everything that is kept onward', () => {
    assert.equal(gapCount([at(1, { walRetention: 'own' }), at(9)]), 0)
  })

  test('keeps a hole that a backup leads over, from its own timeline or an older one', () => {
    assert.equal(gapCount([at(2)]), 1)
    assert.equal(gapCount([at(2, { timeline: 1 })]), 1)
    assert.equal(gapCount([at(2, { timeline: 3 }), at(9)]), 0)
  })

  test('keeps a hole in the WAL that a backup keeps for itself, and every hole while there is no backup', () => {
    assert.equal(gapCount([at(5, { walRetention: 'own' }), at(9)]), 1)
    assert.equal(gapCount([]), 1)
  })
})

/** A backup whose WAL is in the megabyte of that number. */
function at(megabyte: number, changes: Partial<SampleBackup> = {}) {
  const startLsn = toLsn(BigInt(megabyte * mebibyte + 40))
  return { ...sampleListed({ day: 1, timeline: 2, ...changes }), startLsn, stopLsn: toLsn(startLsn + 100n) }
}

/** Of timeline 2, on which the megabytes 4 to 7 are missing. */
function gapCount(backups: readonly ReturnType<typeof at>[]): number | undefined {
  const timelines = findWalGaps({
    segments: new Map([[toTimelineId(2), [1n, 2n, 3n, 8n, 9n, 10n]]]),
    histories: [],
    segmentSize: toWalSegmentSize(mebibyte),
  })
  return withoutExpiredGaps(timelines, backups)[0]?.gaps.length
}

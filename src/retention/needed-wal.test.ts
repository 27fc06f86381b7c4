import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import { toLsn } from '../domain/lsn.ts'
import { parseTimelineHistory, type TimelineHistory } from '../domain/timeline-history.ts'
import { toTimelineId, type TimelineId } from '../domain/timeline.ts'
import { segmentNameOf, toWalSegmentSize } from '../domain/wal-segment.ts'
import type { ListedBackup, WalRetention } from '../repository/backup-entry.ts'
import { sampleHead } from '../../test/support/repository-samples.ts'
import { createWalNeed } from './needed-wal.ts'

const segmentSize = toWalSegmentSize(16 * 1024 * 1024)
const at = (segment: number, offset = 100) => toLsn(BigInt(segment) * BigInt(segmentSize) + BigInt(offset))

function backup(
  timeline: number,
  [first, last]: readonly [number, number],
  walRetention: WalRetention,
): ListedBackup {
  const { backup: sample } = sampleHead()
  const place = { timeline: toTimelineId(timeline), startLsn: at(first), stopLsn: at(last) }
  return { ...sample, ...place, manifestDigest: '', isPinned: false, walRetention }
}

function historiesOf(texts: Readonly<Record<number, string>>): ReadonlyMap<TimelineId, TimelineHistory> {
  return new Map(
    Object.entries(texts).map(([id, text]) => {
      const timeline = toTimelineId(Number(id))
      return [timeline, parseTimelineHistory(timeline, text)]
    }),
  )
}

/** Which of the segments 1 to 9 of a timeline are needed. */
function neededOf(
  timeline: number,
  { backups, histories = {} }: { backups: ListedBackup[]; histories?: Readonly<Record<number, string>> },
): readonly number[] {
  const isNeeded = createWalNeed({ backups, histories: historiesOf(histories), segmentSize })
  return [1, 2, 3, 4, 5, 6, 7, 8, 9].filter((number) =>
    isNeeded(parseArchiveFileName(segmentNameOf(toTimelineId(timeline), BigInt(number), segmentSize))),
  )
}

describe('the WAL that backups need (R67)', () => {
  test('is everything from the oldest start on', () => {
    const backups = [backup(1, [4, 5], 'onward'), backup(1, [7, 7], 'onward')]

    assert.deepEqual(neededOf(1, { backups }), [4, 5, 6, 7, 8, 9])
  })

  test('is only its own of a backup that keeps no more', () => {
    const backups = [backup(1, [2, 3], 'own'), backup(1, [7, 8], 'onward')]

    assert.deepEqual(neededOf(1, { backups }), [2, 3, 7, 8, 9])
  })

  test('is not the segment that begins where the backup stops', () => {
    const atBoundary = { ...backup(1, [2, 4], 'own'), stopLsn: at(4, 0) }

    assert.deepEqual(neededOf(1, { backups: [atBoundary] }), [2, 3])
  })

  test('is told by timeline and position, not by name: an older timeline may hold the newer segment', () => {
    // Timeline 2 left timeline 1 in segment 3; timeline 1 went on and is abandoned.
    const histories = { 2: '1\t0/3000200\tno recovery target specified\n' }
    const backups = [backup(2, [5, 6], 'onward')]

    assert.deepEqual(neededOf(1, { backups, histories }), [])
    assert.deepEqual(neededOf(2, { backups, histories }), [5, 6, 7, 8, 9])
  })

  test('is on every timeline that grew out of the backup, and where its own was abandoned', () => {
    const histories = {
      2: '1\t0/6000200\tpromoted\n',
      3: '1\t0/2000200\tpromoted before the backup\n',
      4: '1\t0/6000200\tpromoted\n2\t0/7000200\tagain\n',
    }
    const backups = [backup(1, [4, 5], 'onward')]

    assert.deepEqual(neededOf(1, { backups, histories }), [4, 5, 6, 7, 8, 9])
    assert.deepEqual(neededOf(2, { backups, histories }), [4, 5, 6, 7, 8, 9])
    assert.deepEqual(neededOf(3, { backups, histories }), [])
    assert.deepEqual(neededOf(4, { backups, histories }), [4, 5, 6, 7, 8, 9])
  })

  test('does not reach another timeline from a backup that keeps only its own', () => {
    const histories = { 2: '1\t0/6000200\tpromoted\n' }
    const backups = [backup(1, [4, 5], 'own'), backup(2, [8, 8], 'onward')]

    assert.deepEqual(neededOf(1, { backups, histories }), [4, 5])
    assert.deepEqual(neededOf(2, { backups, histories }), [8, 9])
  })

  test('includes everything of a timeline whose history is not known, and every history', () => {
    const backups = [backup(1, [8, 8], 'onward')]
    assert.deepEqual(neededOf(5, { backups }), [1, 2, 3, 4, 5, 6, 7, 8, 9])

    const isNeeded = createWalNeed({
      backups,
      histories: historiesOf({ 2: '1\t0/1000200\told\n' }),
      segmentSize,
    })
    assert.ok(isNeeded(parseArchiveFileName('00000002.history')))
  })

  test('judges partial segments and backup history files by their segment, and foreign names not at all', () => {
    const isNeeded = createWalNeed({
      backups: [backup(1, [4, 5], 'onward')],
      histories: new Map(),
      segmentSize,
    })
    const answers = [
      '000000010000000000000003.partial',
      '000000010000000000000004.partial',
      '000000010000000000000003.00000028.backup',
      '000000010000000000000004.00000028.backup',
      '000000010000000000000FFF', // exists only at smaller segment sizes
    ].map((name) => isNeeded(parseArchiveFileName(name)))

    assert.deepEqual(answers, [false, true, false, true, true])
  })
})

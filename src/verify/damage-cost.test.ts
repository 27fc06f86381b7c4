import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sampleHead } from '../../test/support/repository-samples.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { toLsn } from '../domain/lsn.ts'
import { instantFromMs } from '../domain/target-time.ts'
import { parseTimelineHistory } from '../domain/timeline-history.ts'
import { toTimelineId } from '../domain/timeline.ts'
import type { ListedBackup, WalRetention } from '../repository/backup-entry.ts'
import { costOfBackups, costOfHistory, costOfWal, type DamageCost } from './damage-cost.ts'

interface Shape {
  readonly timeline?: number
  readonly walRetention?: WalRetention
}

/** A backup on some day of February, from the LSN `from` to `from + 5`. */
function backup(
  day: number,
  from: number,
  { timeline = 1, walRetention = 'onward' }: Shape = {},
): ListedBackup {
  return {
    ...sampleHead().backup,
    label: parseBackupLabel(`202602${String(day).padStart(2, '0')}-000000F`),
    timeline: toTimelineId(timeline),
    startLsn: toLsn(BigInt(from)),
    stopLsn: toLsn(BigInt(from + 5)),
    startedAt: instantFromMs(day * 1000),
    stoppedAt: instantFromMs(day * 1000 + 1),
    manifestDigest: '',
    isPinned: false,
    walRetention,
  }
}

const hole = (from: number, to: number, timeline = 1) => ({
  timeline: toTimelineId(timeline),
  startLsn: toLsn(BigInt(from)),
  endLsn: toLsn(BigInt(to)),
})

const facts = (backups: readonly ListedBackup[], fork?: number) => ({
  backups,
  histories: new Map(
    fork === undefined
      ? []
      : [[toTimelineId(2), parseTimelineHistory(toTimelineId(2), `1\t0/${fork.toString(16)}\tpromoted\n`)]],
  ),
})

/** Days of the backups, and of each stretch: timeline, first LSN, and the day of the backup that it ends with. */
const brief = ({ backups, lost }: DamageCost) => ({
  backups: backups.map((label) => Number(label.slice(6, 8))),
  lost: lost.map(({ timeline, fromLsn, until }) => [
    timeline,
    Number(fromLsn),
    until === undefined ? undefined : Number(until.backup.slice(6, 8)),
  ]),
})

const nothing = { backups: [], lost: [] }

describe('costOfWal', () => {
  test('counts the backups that need it to be consistent, and the moments behind it', () => {
    const cost = costOfWal(hole(10, 20), facts([backup(1, 12), backup(2, 50)]))

    assert.deepEqual(brief(cost), { backups: [1], lost: [[1, 10, 2]] })
  })

  test('counts only moments when it is between backups, to the end of the archive when there is no next one', () => {
    const two = [backup(1, 10), backup(2, 50)]

    assert.deepEqual(brief(costOfWal(hole(20, 30), facts(two))), { backups: [], lost: [[1, 20, 2]] })
    assert.deepEqual(brief(costOfWal(hole(60, 70), facts(two))), { backups: [], lost: [[1, 60, undefined]] })
  })

  test('costs nothing before the first backup, and behind one of which only the own WAL is kept', () => {
    assert.deepEqual(brief(costOfWal(hole(0, 10), facts([backup(1, 10)]))), nothing)
    const own = backup(1, 10, { walRetention: 'own' })
    assert.deepEqual(brief(costOfWal(hole(20, 30), facts([own, backup(2, 50)]))), nothing)
    assert.deepEqual(brief(costOfWal(hole(12, 13), facts([own, backup(2, 50)]))), { backups: [1], lost: [] })
  })

  test('costs what comes after a fork only on the timelines that pass it', () => {
    const onOne = backup(1, 10)
    const onTwo = backup(2, 60, { timeline: 2 })

    assert.deepEqual(brief(costOfWal(hole(20, 30), facts([onOne, onTwo], 40))), {
      backups: [],
      lost: [[1, 20, 2]],
    })
    assert.deepEqual(brief(costOfWal(hole(50, 55, 2), facts([onOne, onTwo], 40))), {
      backups: [],
      lost: [[2, 50, 2]],
    })
    assert.deepEqual(brief(costOfWal(hole(50, 55, 1), facts([onOne, onTwo], 40))), {
      backups: [],
      lost: [[1, 50, undefined]],
    })
    assert.deepEqual(brief(costOfWal(hole(20, 30, 2), facts([onOne, onTwo], 40))), nothing)
  })
})

describe('costOfBackups', () => {
  const three = facts([backup(1, 10), backup(2, 30), backup(3, 50)])
  const labels = (...days: readonly number[]) =>
    three.backups.filter((_, index) => days.includes(index + 1)).map(({ label }) => label)

  test('counts the moments that no other backup leads to', () => {
    assert.deepEqual(brief(costOfBackups(labels(1), three)), { backups: [1], lost: [[1, 15, 2]] })
    assert.deepEqual(brief(costOfBackups(labels(1, 2), three)), { backups: [1, 2], lost: [[1, 15, 3]] })
    assert.deepEqual(brief(costOfBackups(labels(1, 2, 3), three)), {
      backups: [1, 2, 3],
      lost: [[1, 15, undefined]],
    })
  })

  test('counts no moments when an older backup leads to them', () => {
    assert.deepEqual(brief(costOfBackups(labels(2, 3), three)), { backups: [2, 3], lost: [] })
  })

  test('counts moments when the older backup has lost its WAL', () => {
    const { backups } = facts([backup(1, 10, { walRetention: 'own' }), backup(2, 30), backup(3, 50)])

    assert.deepEqual(brief(costOfBackups(labels(2), facts(backups))), { backups: [2], lost: [[1, 35, 3]] })
  })

  test('of none is nothing', () => {
    assert.deepEqual(brief(costOfBackups([], three)), nothing)
  })
})

describe('costOfHistory', () => {
  test('counts the backups of its timeline and its moments', () => {
    const backups = [backup(1, 10), backup(2, 60, { timeline: 2 })]

    assert.deepEqual(brief(costOfHistory(toTimelineId(2), facts(backups))), {
      backups: [2],
      lost: [[2, 15, 2]],
    })
  })
})

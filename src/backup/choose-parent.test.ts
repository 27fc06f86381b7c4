import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { toLsn } from '../domain/lsn.ts'
import { toTimelineId } from '../domain/timeline.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import { sampleHead } from '../../test/support/repository-samples.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { chooseParent, isAuditDue } from './choose-parent.ts'

const none: ReadonlySet<BackupLabel> = new Set()
const timeline1: TimelineHistory = { timeline: toTimelineId(1), ancestors: [] }
const timeline2: TimelineHistory = {
  timeline: toTimelineId(2),
  ancestors: [{ timeline: toTimelineId(1), endLsn: toLsn(1000n), reason: '' }],
}

describe('chooseParent', () => {
  test('takes the newest backup', () => {
    const listed = [backup(1, { stop: 100n }), backup(2, { stop: 200n })]

    assert.equal(labelOf(chooseParent({ listed, history: timeline1, damaged: none })), listed[1]?.label)
  })

  test('passes over what is damaged (X7)', () => {
    const listed = [backup(1, { stop: 100n }), backup(2, { stop: 200n })]
    const damaged = new Set([labelAt(2)])

    assert.equal(labelOf(chooseParent({ listed, history: timeline1, damaged })), labelAt(1))
    assert.deepEqual(chooseParent({ listed: listed.slice(1), history: timeline1, damaged }), {
      kind: 'none',
      reason: 'every backup is known to be damaged',
    })
  })

  test('goes on over a promotion from what ended before the fork, and not from what was abandoned', () => {
    const listed = [backup(1, { stop: 1000n }), backup(2, { stop: 1001n })]

    assert.equal(labelOf(chooseParent({ listed, history: timeline2, damaged: none })), labelAt(1))
    assert.deepEqual(chooseParent({ listed: listed.slice(1), history: timeline2, damaged: none }), {
      kind: 'none',
      reason: 'no backup lies on the way to timeline 2',
    })
  })

  test('does not go on from a timeline that the server is not on any more', () => {
    const listed = [backup(1, { stop: 100n, timeline: 3 })]

    assert.equal(chooseParent({ listed, history: timeline2, damaged: none }).kind, 'none')
  })

  test('begins with a full backup', () => {
    assert.deepEqual(chooseParent({ listed: [], history: timeline1, damaged: none }), {
      kind: 'none',
      reason: 'there is no backup yet',
    })
  })
})

describe('isAuditDue', () => {
  test('is true for the first incremental after a full backup, and for each one when so many have passed', () => {
    const full = backup(1, { stop: 1n })
    const audited = backup(2, { stop: 1n, type: 'incr', isAudited: true })
    const others = [3, 4].map((number) => backup(number, { stop: 1n, type: 'incr' }))

    assert.equal(isAuditDue([full], 3), true)
    assert.equal(isAuditDue([full, audited], 3), false)
    assert.equal(isAuditDue([full, audited, ...others.slice(1)], 3), false)
    assert.equal(isAuditDue([full, audited, ...others], 3), true)
    assert.equal(isAuditDue([full, audited, ...others, backup(5, { stop: 1n })], 3), true)
    assert.equal(isAuditDue([full, ...others], 9), true)
  })
})

const labelOf = (choice: ReturnType<typeof chooseParent>): BackupLabel | undefined =>
  choice.kind === 'parent' ? choice.backup.label : undefined

const labelAt = (day: number): BackupLabel => parseBackupLabel(`202602${day + 10}-000000F`)

interface Sample {
  readonly stop: bigint
  readonly timeline?: number
  readonly type?: 'full' | 'incr'
  readonly isAudited?: true
}

function backup(day: number, { stop, timeline = 1, ...rest }: Sample): ListedBackup {
  return {
    ...sampleHead().backup,
    ...rest,
    label: labelAt(day),
    stopLsn: toLsn(stop),
    timeline: toTimelineId(timeline),
    manifestDigest: '',
    isPinned: false,
    walRetention: 'onward',
  }
}
